"""A tiny CLIP in training: its data, its recipe, its run folder."""

import json
from pathlib import Path
from typing import Any

from tclip.progress import Collected
from tclip.recipe.schema import Recipe
from tclip.recipe.write import write_recipe
from tclip.run import Run
from tests.data.making import picture

PAIRS = 24


def write_pairs(folder: Path, num: int = PAIRS) -> Path:
    """A caption table and its pictures; the words of a caption depend on its picture."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["filepath,caption"]
    for seed in range(num):
        (folder / f"{seed}.png").write_bytes(picture(seed, "PNG", (40, 36)))
        rows.append(f"{seed}.png,a picture of the number {seed} and {seed * 7 % 11}")
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    return folder / "captions.csv"


def recipe(model: Path, pairs: Path, **sections: Any) -> Recipe:
    """A recipe for seconds: rounding, then a few steps in float32 with a learning rate that shows."""
    train = {
        "steps": 6,
        "batch_size": 8,
        "lr": 3e-3,
        "precision": "float32",
        "checkpoint_every": 2,
        "log_every": 1,
        "losses": {"contrastive": 0.5, "feature": 1.0, "interactive": 0.5, "similarity": 0.5},
    }
    document = {
        "schema": 1,
        "model": {"id": str(model)},
        "data": {"train": [str(pairs)], "views": 2, "shuffle": 7} | sections.pop("data", {}),
        "calibrate": {"method": "round", "refit": False, "pairs": 8},
        "export": {"onnx": None},
        "train": train | sections.pop("train", {}),
    }
    return Recipe.model_validate(document | sections)


def make_run(folder: Path, calibrated: Path, made: Recipe) -> Run:
    """A run folder whose calibrated model is a link to one that was made before."""
    folder.mkdir(parents=True)
    write_recipe(made, folder / "recipe.yaml")
    (folder / "calibrated").symlink_to(calibrated)
    return Run(folder, made)


def train_run(run: Run) -> Collected:
    """Train in this process."""
    from tclip.distill.stage import train

    progress = Collected()
    train(run, progress)
    return progress


def losses(folder: Path) -> list[float]:
    """The logged losses; the steps must be 1, 2, 3, ... without gaps."""
    lines = [json.loads(line) for line in (folder / "steps" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]
