"""Where the bits go: ratings of every weight, made or read again, and what is decided by them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tclip.calibrate.allotment import Allotment, allot, allowed_bytes, ratings_table
from tclip.calibrate.pairs import read_pairs
from tclip.calibrate.sensitivity import Rating, rate, read_rating
from tclip.errors import UserError
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.models.sites import Plan, find_sites, plan_ternarization
from tclip.packed.predict import Shapes
from tclip.progress import Progress
from tclip.recipe.quantize import Quantize
from tclip.recipe.schema import Recipe
from tclip.recipe.settings import settings_of
from tclip.run import fingerprint, with_absolute_paths, write_json

RATED_BY = ("data.split", "data.text_tokens", "quantize", "calibrate", "sensitivity")
NOT_RATED_BY = {
    "quantize": ("budget", "max_cost"),
    "calibrate": ("pairs", "extra_images", "extra_texts"),  # of the calibration that comes later
}


def sensitivity(recipe: Recipe, progress: Progress, out: Path | None = None) -> list[Rating]:
    """Rate every weight of a model that a recipe makes ternary, and show the ratings, the costliest first.

    Args:
        recipe: names the model, the data, and how weights are calibrated. With quantize.budget or max_cost
            the table says what each weight would keep.
        progress: who is told.
        out: a JSON file to write; ratings that it holds from an interrupted call are not made again. In the
            place of a run to come, RUN/results/sensitivity.json, they serve that run.

    Raises:
        UserError: `out` is a folder, or holds something else.
        ModelError, DataError, RecipeError: as the stage calibrate.
    """
    recipe = with_absolute_paths(recipe)  # as in a run
    if out is not None:
        _check_out(out)
    clip = load_dense(str(recipe.model.id), recipe.model.revision)
    if torch.cuda.is_available():
        clip.model.to("cuda")
    plan = plan_ternarization(find_sites(clip.model), recipe.quantize)
    shapes = shapes_of(clip)
    if recipe.quantize.budget:
        allowed_bytes(shapes, plan, recipe)  # refused before the work
    try:
        ratings = ratings_of(clip, plan, recipe, out, progress)
    except KeyboardInterrupt as stop:
        if out is None:
            raise KeyboardInterrupt(
                "Stopped, and no rating is kept: give --out FILE to go on later."
            ) from stop
        raise
    allotment = allot(ratings, shapes, plan, recipe) if recipe.quantize.is_rated else None
    progress.table(ratings_table(ratings, shapes, plan, recipe, allotment))
    if allotment:
        progress.note(str(allotment))
    return ratings


def shared_out(recipe: Recipe, clip: Clip, plan: Plan, path: Path, progress: Progress) -> Quantize:
    """Return the section `quantize` with the bits that its budget or max_cost buys; a JSON file says why.

    Args:
        recipe: of the run, with quantize.budget or quantize.max_cost.
        clip: the original.
        plan: by the recipe, with every weight ternary that may be.
        path: of the file, with ratings and result; ratings that it holds of the same model, data and settings
            are not made again.
        progress: who is told.

    Raises:
        RecipeError: budget or cost cannot be met, or leave nothing to be ternary.
    """
    shapes = shapes_of(clip)
    if recipe.quantize.budget:
        allowed_bytes(shapes, plan, recipe)
    ratings = ratings_of(clip, plan, recipe, path, progress)
    allotment = allot(ratings, shapes, plan, recipe)
    progress.table(ratings_table(ratings, shapes, plan, recipe, allotment))
    _write(path, recipe, clip, ratings, allotment)
    progress.note(str(allotment))
    return recipe.quantize.model_copy(update={"bits": {**recipe.quantize.bits, **allotment.bits}})


def ratings_of(clip: Clip, plan: Plan, recipe: Recipe, path: Path | None, progress: Progress) -> list[Rating]:
    """Return the ratings of all weights that become ternary, in the plan's order, reading what a file has."""
    ratings = {rating.name: rating for rating in _known(path, recipe, clip)}
    names = plan.ternary_names
    progress.begin("sensitivity", len(names))
    progress.update(len(ratings), len(names))

    def rated(rating: Rating) -> None:
        ratings[rating.name] = rating
        if path is not None:
            _write(path, recipe, clip, list(ratings.values()))
        progress.update(len(ratings), len(names))

    if len(ratings) < len(names):
        settings = recipe.sensitivity
        pairs, unseen = read_pairs(_pairs_alone(recipe), clip, settings.pairs, settings.unseen)
        rate(clip, plan, recipe.quantize, recipe.calibrate, pairs, unseen, rated, known=ratings.keys())
    return [ratings[name] for name in names]


def shapes_of(clip: Clip) -> Shapes:
    """Return the shape of every tensor that a packed file of the model holds, by name."""
    return {name: tuple(tensor.shape) for name, tensor in clip.model.state_dict().items()}


def _pairs_alone(recipe: Recipe) -> Recipe:
    """Return the recipe without images and texts of no pair: ranking weights needs fewer inputs."""
    calibrate = recipe.calibrate.model_copy(update={"extra_images": 0, "extra_texts": 0})
    return recipe.model_copy(update={"calibrate": calibrate})


def _identity(recipe: Recipe, clip: Clip) -> str:
    """Return a hash of all that ratings depend on: not of the budget, nor of how many pairs come later."""
    settings = settings_of(recipe, RATED_BY)
    for section, names in NOT_RATED_BY.items():
        for name in names:
            settings.get(section, {}).pop(name, None)
    specs = recipe.data.calibrate or recipe.data.train
    return fingerprint(clip.source.commit, specs, settings)


def _check_out(out: Path) -> None:
    """Refuse what ratings would destroy, before they are made."""
    if out.is_dir():
        raise UserError(f"--out {out} is a folder: name a file in it, such as {out / 'sensitivity.json'}.")
    if not out.is_file():
        return
    try:
        document = json.loads(out.read_text(encoding="utf-8"))
        foreign = not {"of", "ratings"} <= document.keys()
    except (ValueError, AttributeError):
        foreign = True
    if foreign:
        raise UserError(f"--out {out} holds no ratings: name another file, or delete it.")


def _known(path: Path | None, recipe: Recipe, clip: Clip) -> list[Rating]:
    """Return what a file holds of the very same; of another, or of a damaged one, nothing."""
    if path is None or not path.is_file():
        return []
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        ratings = [read_rating(each) for each in document["ratings"]]
        return ratings if document["of"] == _identity(recipe, clip) else []
    except (ValueError, KeyError, TypeError):
        return []


def _write(
    path: Path, recipe: Recipe, clip: Clip, ratings: Sequence[Rating], allotment: Allotment | None = None
) -> None:
    document: dict[str, Any] = {
        "of": _identity(recipe, clip),
        "ratings": [rating.to_dict() for rating in ratings],
    }
    if allotment:
        document["allotment"] = vars(allotment)
    write_json(path, document)
