"""What is left of a CLIP's accuracy: recipes x budgets x presets x data x seeds, and parts taken away alone.

python -m tests.benchmarks.quality OUT --clip CLIP --data FOLDER [--recipe best ...] [--minutes 5 ...]

FOLDER holds flickr8k, cifar10, clothing, emojitwo and imagenet_samples in CLIP_benchmark's layout. Every
cell is a run folder below OUT and a line of OUT/results.jsonl; a cell that has its line is not run again, so
the table grows over several sittings. With --steps RECIPE=N, N steps stand for a minute, whatever else the
machine does meanwhile: the steps that a quiet machine of the report makes in one. Then --jobs N runs cells
side by side, which a GPU has room for.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.quality.cells import JOINT, PARTS, cells
from tests.benchmarks.quality.table import table
from tests.benchmarks.quality.work import calibrate, calibrated_apart, measure, side_by_side, teacher


def read_steps(text: str) -> tuple[str, float]:
    """RECIPE=N."""
    recipe, _, number = text.partition("=")
    return recipe, float(number)


def read_part(text: str) -> str:
    """The name of a part, or several with JOINT between them."""
    if unknown := [part for part in text.split(JOINT) if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"no part is called {unknown}; there are: {', '.join(PARTS)}")
    return text


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", nargs="+", default=["round", "ptq", "paper", "best"])
    parser.add_argument("--part", nargs="+", default=["whole"], type=read_part)
    parser.add_argument("--minutes", nargs="+", type=float, default=[5.0, 15.0, 60.0])
    parser.add_argument("--preset", nargs="+", default=["ffn", "all"])
    parser.add_argument("--protocol", nargs="+", default=["narrow", "wide"], choices=["narrow", "wide"])
    parser.add_argument("--seed", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", nargs="+", type=read_steps, default=[], metavar="RECIPE=N")
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    asked.steps = dict(asked.steps)
    asked.out.mkdir(parents=True, exist_ok=True)
    original, path = teacher(asked), asked.out / "results.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    done = {line["folder"] for line in lines}
    todo = sorted((cell for cell in cells(asked) if cell.folder not in done), key=lambda cell: cell.minutes)
    for cell, _ in side_by_side(calibrate, calibrated_apart(todo, asked), asked):
        print(f"calibrated {cell.folder}", flush=True)
    for cell, metrics in side_by_side(measure, todo, asked):
        scores = {name: found.pop("main") for name, found in metrics.items()}
        line = asdict(cell) | {"folder": cell.folder, "scores": scores, "metrics": metrics}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        lines.append(line)
        print(table([line], original).splitlines()[-1], flush=True)
    print(table(lines, original))


if __name__ == "__main__":
    main()
