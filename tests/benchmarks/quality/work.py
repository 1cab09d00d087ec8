"""Running cells, one after the other or side by side; what they share is made once."""

import argparse
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tclip import pipeline
from tclip.evaluate.record import read_record
from tclip.evaluate.suite.averages import main_score
from tclip.progress import Collected
from tclip.recipe.read import read_recipe
from tclip.recipe.schema import Recipe
from tclip.run import Run, create_run, with_absolute_paths
from tests.benchmarks.quality.cells import SETS, Cell, overrides, recipe_of


def measure(cell: Cell, asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Run a cell, or go on with it, and return all scores on each data set, "main" the one that counts."""
    recipe = recipe_of(cell, asked)
    share_calibration(recipe, asked.out / cell.folder, asked.out)
    share_ratings(recipe, asked.out / cell.folder, asked.out)
    run = pipeline.compress(recipe, asked.out / cell.folder, Collected(), resume=True)
    records = {name: read_record(run.results / "packed" / f"{name}.json") for name in SETS}
    return {name: {"main": main_score(record), **record.metrics} for name, record in records.items()}


def calibrate(cell: Cell, asked: argparse.Namespace) -> None:
    """Run a cell as far as other cells share it."""
    pipeline.compress(
        recipe_of(cell, asked), asked.out / cell.folder, Collected(), resume=True, last="calibrate"
    )


def calibrated_apart(todo: list[Cell], asked: argparse.Namespace) -> list[Cell]:
    """One cell for each calibration that no cell of OUT has made."""
    records = (json.loads(path.read_text(encoding="utf-8")) for path in asked.out.glob("*/stages.json"))
    made = {record.get("calibrate") for record in records}
    first: dict[str, Cell] = {}
    for cell in todo:
        wanted = pipeline.stage_fingerprint(with_absolute_paths(recipe_of(cell, asked)), "calibrate")
        first.setdefault(wanted, cell)
    return [cell for wanted, cell in first.items() if wanted not in made]


def side_by_side(
    function: Callable[[Cell, argparse.Namespace], Any], todo: list[Cell], asked: argparse.Namespace
) -> Iterable[tuple[Cell, Any]]:
    """Yield (cell, function of the cell) as they end, so many at a time as --jobs says."""
    if asked.jobs == 1:
        yield from ((cell, function(cell, asked)) for cell in todo)
        return
    fresh = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
    with ProcessPoolExecutor(min(asked.jobs, len(todo)) or 1, mp_context=fresh) as pool:
        running = {pool.submit(function, cell, asked): cell for cell in todo}
        for done in as_completed(running):
            yield running[done], done.result()


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


def share_ratings(recipe: Recipe, folder: Path, out: Path) -> None:
    """Take over what another cell has rated for its budget; ratings of another kind are made anew."""
    run, rated = Run(folder, recipe), sorted(out.glob("*/results/sensitivity.json"))
    if not recipe.quantize.is_rated or not rated or (run.results / rated[0].name).is_file():
        return
    create_run(folder, recipe, resume=True)
    run.results.mkdir(exist_ok=True)
    shutil.copy(rated[0], run.results)


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
