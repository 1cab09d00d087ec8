"""What is left of a CLIP's accuracy: recipes x budgets x presets x data x seeds, and parts taken away alone.

python -m tests.benchmarks.quality OUT --clip CLIP --data FOLDER [--recipe best ...] [--minutes 5 ...]

FOLDER holds flickr8k, cifar10, clothing, emojitwo and imagenet_samples in CLIP_benchmark's layout. Every
cell is a run folder below OUT and a line of OUT/results.jsonl; a cell that has its line is not run again, so
the table grows over several sittings. With --steps RECIPE=N, N steps stand for a minute, whatever else the
machine does meanwhile: the steps that a quiet machine of the report makes in one.
"""

import argparse
import json
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

from tclip import pipeline
from tclip.evaluate.record import read_record
from tclip.evaluate.suite.averages import main_score
from tclip.progress import Collected
from tclip.recipe.read import read_recipe
from tclip.recipe.schema import Recipe
from tclip.run import Run, create_run, with_absolute_paths

SETS = ("flickr8k", "imagenet_samples", "cifar10", "clothing")
UNLABELLED = ("cifar10", "clothing", "emojitwo")  # of these only the images of the training split
ROUNDED = ("train=null", "calibrate.method=round", "calibrate.refit=false", "quantize.quantizer=clip2")
# Each part of `best` that can be taken away alone.
ABLATIONS: dict[str, tuple[str, ...]] = {
    "without crops": (
        "data.images=[]",
        "calibrate.extra_images=0",
        "calibrate.pairs=2048",
        "train.extra_images=0",
        "train.batch_size=72",
    ),
    "without texts": ("data.texts=[]", "train.extra_texts=0", "calibrate.extra_texts=0"),
    "without outputs": ("calibrate.outputs=false",),
    "without calibration": ("calibrate.method=round", "calibrate.refit=false"),
    "without margin": ("train.margin=0",),
    "without recovery": ("train.recovery=0",),
    "without similarity": ("train.losses.similarity=0",),
    "with layers": ("train.losses.layers=1",),
    "with views": ("data.views=4",),
}


@dataclass(frozen=True)
class Cell:
    """One number of the table."""

    recipe: str
    part: str
    minutes: float
    preset: str
    data: str
    seed: int

    @property
    def folder(self) -> str:
        """A name for its run folder."""
        return "-".join(str(value).replace(" ", "_") for value in asdict(self).values())


def cells(asked: argparse.Namespace) -> Iterator[Cell]:
    """Every cell that was asked for; what does not train has no minutes, and one seed."""
    for recipe, part, preset, data in product(asked.recipe, asked.part, asked.preset, asked.protocol):
        if recipe in ("round", "ptq"):
            yield Cell(recipe, part, 0, preset, data, 0)
            continue
        for minutes, seed in product(asked.minutes, asked.seed):
            if minutes == 0 and seed != asked.seed[0]:
                continue
            yield Cell(recipe, part, minutes, preset, data, seed)


def overrides(cell: Cell, asked: argparse.Namespace) -> list[str]:
    """The recipe's settings for a cell."""
    root = asked.data
    settings = [
        f"model.id={asked.clip}",
        f"data.train={root / 'flickr8k'}",
        "data.text_tokens=24",
        f"eval.data=[{', '.join(str(root / name) for name in SETS)}]",
        "eval.forms=[packed]",
        "export.onnx=null",
        *(f"quantize.{tower}.preset={cell.preset}" for tower in ("image", "text")),
    ]
    trains = cell.recipe not in ("round", "ptq")
    if cell.data == "wide":
        made = ["crops"] if cell.recipe == "best" else []
        settings.append(f"data.images=[{', '.join([*made, *(str(root / name) for name in UNLABELLED)])}]")
        settings += ["train.extra_images=64"] if trains else []
        settings += ["calibrate.extra_images=1024"] if cell.recipe != "paper" else []
    if cell.recipe == "round":
        settings += ROUNDED
    if trains:
        settings.append(f"train.seed={cell.seed}")
    settings += ABLATIONS.get(cell.part, ())
    return settings + (budget(cell, asked) if trains else [])


def budget(cell: Cell, asked: argparse.Namespace) -> list[str]:
    """Minutes of the clock, or the steps that stand for them; 0: calibrated only."""
    if cell.minutes == 0:
        return ["train=null"]
    if cell.recipe not in asked.steps:
        return [f"train.minutes={cell.minutes}"]
    return ["train.minutes=null", f"train.steps={round(asked.steps[cell.recipe] * cell.minutes)}"]


def measure(cell: Cell, asked: argparse.Namespace) -> dict[str, float]:
    """Run a cell, or go on with it, and return its main score on each data set."""
    recipe = read_recipe("best" if cell.recipe == "round" else cell.recipe, overrides(cell, asked))
    share_calibration(recipe, asked.out / cell.folder, asked.out)
    run = pipeline.compress(recipe, asked.out / cell.folder, Collected(), resume=True)
    return {name: main_score(read_record(run.results / "packed" / f"{name}.json")) for name in SETS}


def share_calibration(recipe: Recipe, folder: Path, out: Path) -> None:
    """Take over what another cell has calibrated alike: minutes and seeds change training alone."""
    run = Run(folder, with_absolute_paths(recipe))
    wanted = pipeline.stage_fingerprint(run.recipe, "calibrate")
    others = [Run(path.parent, run.recipe) for path in sorted(out.glob("*/stages.json"))]
    alike = [other for other in others if other.finished().get("calibrate") == wanted]
    if not alike or run.finished():
        return
    create_run(folder, recipe, resume=True)
    shutil.copytree(alike[0].calibrated, run.calibrated, dirs_exist_ok=True)
    run.results.mkdir(exist_ok=True)
    shutil.copy(alike[0].results / "calibration.json", run.results)
    run.mark("calibrate", wanted, [])


def teacher(asked: argparse.Namespace) -> dict[str, float]:
    """The original's scores, measured once."""
    path = asked.out / "original.json"
    if not path.is_file():
        run = pipeline.compress(
            read_recipe("best", [*overrides(Cell("round", "whole", 0, "all", "narrow", 0), asked)[:-2],
                                 "train=null", "calibrate.method=round", "calibrate.refit=false",
                                 "data.texts=[]", "calibrate.extra_texts=0", "data.images=[]",
                                 "calibrate.extra_images=0", "eval.forms=[original]"]),
            asked.out / "original", Collected(), resume=True,
        )  # fmt: skip
        scores = {name: main_score(read_record(run.results / "original" / f"{name}.json")) for name in SETS}
        path.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def table(lines: list[dict], original: dict[str, float]) -> str:
    """Markdown: retained shares, mean over seeds with their spread."""
    rows = ["| recipe | part | minutes | preset | data | seeds | " + " | ".join(SETS) + " | mean |"]
    rows.append("|---" * (len(SETS) + 7) + "|")
    groups: dict[tuple, list[dict[str, float]]] = {}
    for line in lines:
        key = tuple(line[name] for name in ("recipe", "part", "minutes", "preset", "data"))
        groups.setdefault(key, []).append(
            {name: 100 * line["scores"][name] / original[name] for name in SETS}
        )
    for key, shares in sorted(groups.items(), key=str):
        columns = [[share[name] for share in shares] for name in SETS]
        columns.append([statistics.fmean(share.values()) for share in shares])
        rows.append(f"| {' | '.join(map(str, key))} | {len(shares)} | {' | '.join(map(spread, columns))} |")
    return "\n".join(rows)


def spread(values: list[float]) -> str:
    """Mean and, of several seeds, the standard deviation."""
    return f"{statistics.fmean(values):.1f}" + (
        f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    )


def read_steps(text: str) -> tuple[str, float]:
    """RECIPE=N."""
    recipe, _, number = text.partition("=")
    return recipe, float(number)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", nargs="+", default=["round", "ptq", "paper", "best"])
    parser.add_argument("--part", nargs="+", default=["whole"], choices=["whole", *ABLATIONS])
    parser.add_argument("--minutes", nargs="+", type=float, default=[5.0, 15.0, 60.0])
    parser.add_argument("--preset", nargs="+", default=["ffn", "all"])
    parser.add_argument("--protocol", nargs="+", default=["narrow", "wide"], choices=["narrow", "wide"])
    parser.add_argument("--seed", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", nargs="+", type=read_steps, default=[], metavar="RECIPE=N")
    asked = parser.parse_args()
    asked.steps = dict(asked.steps)
    asked.out.mkdir(parents=True, exist_ok=True)
    original, path = teacher(asked), asked.out / "results.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    done = {line["folder"] for line in lines}
    for cell in cells(asked):
        if cell.folder in done:
            continue
        line = asdict(cell) | {"folder": cell.folder, "scores": measure(cell, asked)}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        lines.append(line)
        print(table([line], original).splitlines()[-1], flush=True)
    print(table(lines, original))


if __name__ == "__main__":
    main()
