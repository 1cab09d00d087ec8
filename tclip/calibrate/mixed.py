"""Where the bits go: ratings of every weight, made or read again, and the forms that a budget buys."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tclip.calibrate.knapsack import Choice, solve
from tclip.calibrate.pairs import read_pairs
from tclip.calibrate.sensitivity import FORMS, Rating, rate, read_rating
from tclip.errors import RecipeError
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.models.sites import Plan, find_sites, plan_ternarization
from tclip.packed.predict import Shapes, budget_bytes, predicted_bytes
from tclip.progress import Progress, Table
from tclip.recipe.schema import Quantize, Recipe
from tclip.run import fingerprint, with_absolute_paths, write_json


@dataclass(frozen=True)
class Allotment:
    """What a budget buys.

    Attributes:
        bits: of the weights that keep 4 or 8; all others become ternary.
        allowed_bytes: what the budget allows.
        predicted_bytes: what the file will have.
        cost: the sum of the weights' costs.
    """

    bits: dict[str, int]
    allowed_bytes: int
    predicted_bytes: int
    cost: float


def sensitivity(recipe: Recipe, progress: Progress, out: Path | None = None) -> list[Rating]:
    """Rate every weight of a model that a recipe makes ternary, and show the ratings, the costliest first.

    Args:
        recipe: names the model, the data, and how weights are calibrated. With quantize.budget the table
            says what each weight would keep.
        progress: who is told.
        out: a JSON file to write; ratings that it holds from an interrupted call are not made again. In the
            place of a run to come, RUN/results/sensitivity.json, they serve that run.

    Raises:
        ModelError, DataError, RecipeError: as the stage calibrate.
    """
    recipe = with_absolute_paths(recipe)  # as in a run
    clip = load_dense(str(recipe.model.id), recipe.model.revision)
    if torch.cuda.is_available():
        clip.model.to("cuda")
    plan = plan_ternarization(find_sites(clip.model), recipe.quantize)
    shapes = shapes_of(clip)
    if recipe.quantize.budget:
        _allowed(recipe.quantize.budget, shapes, plan, recipe)
    ratings = ratings_of(clip, plan, recipe, out, progress)
    allotment = allot(ratings, shapes, plan, recipe) if recipe.quantize.budget else None
    progress.table(ratings_table(ratings, shapes, plan, recipe, allotment))
    return ratings


def within_budget(recipe: Recipe, clip: Clip, plan: Plan, path: Path, progress: Progress) -> Quantize:
    """Return the section `quantize` with the bits that its budget buys; ratings and result go to a JSON file.

    Args:
        recipe: of the run, with quantize.budget.
        clip: the original.
        plan: by the recipe, with every weight ternary that may be.
        path: of the file; ratings that it holds of the same model, data and settings are not made again.
        progress: who is told.

    Raises:
        RecipeError: the budget cannot be met, or leaves nothing to be ternary.
    """
    shapes = shapes_of(clip)
    _allowed(str(recipe.quantize.budget), shapes, plan, recipe)
    ratings = ratings_of(clip, plan, recipe, path, progress)
    allotment = allot(ratings, shapes, plan, recipe)
    progress.table(ratings_table(ratings, shapes, plan, recipe, allotment))
    _write(path, recipe, clip, ratings, allotment)
    counts = [sum(bits == each for bits in allotment.bits.values()) for each in (8, 4)]
    progress.note(
        f"budget {recipe.quantize.budget}: {counts[0]} weights keep 8 bits and {counts[1]} keep 4; "
        f"model.safetensors will have {allotment.predicted_bytes:,} of {allotment.allowed_bytes:,} bytes"
    )
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


def allot(ratings: Sequence[Rating], shapes: Shapes, plan: Plan, recipe: Recipe) -> Allotment:
    """Choose what each rated weight keeps, at the least sum of costs within quantize.budget.

    Args:
        ratings: of all weights that the plan makes ternary.
        shapes: of every tensor of the model.
        plan: by the recipe.
        recipe: with quantize.budget.

    Raises:
        RecipeError: the budget is below the least size, or leaves nothing to be ternary.
    """
    allowed = _allowed(str(recipe.quantize.budget), shapes, plan, recipe)
    least = _predicted(shapes, plan, {}, recipe)
    extra = _extra_bytes(ratings, shapes, plan, recipe)
    choices = [
        [Choice(extra[rating.name][form], rating.costs[form].distance) for form in FORMS]
        for rating in ratings
    ]
    capacity, predicted, bits = allowed - least, allowed + 1, dict[str, int]()
    while predicted > allowed:  # at most once or twice: a few bytes of the header do not add up
        forms = [list(FORMS)[chosen] for chosen in solve(choices, capacity)]
        kept = {rating.name: FORMS[form] for rating, form in zip(ratings, forms, strict=True)}
        bits = {name: each for name, each in kept.items() if each is not None}
        predicted = _predicted(shapes, plan, bits, recipe)
        capacity = max(0, capacity - max(0, predicted - allowed))
    if len(bits) == len(ratings):
        raise RecipeError(
            f"quantize.budget {recipe.quantize.budget} leaves nothing to be ternary: {predicted:,} bytes are "
            "enough for 4 or 8 bits everywhere; give less."
        )
    cost = sum(rating.costs[form].distance for rating, form in zip(ratings, forms, strict=True))
    return Allotment(bits, allowed, predicted, cost)


def ratings_table(
    ratings: Sequence[Rating], shapes: Shapes, plan: Plan, recipe: Recipe, allotment: Allotment | None
) -> Table:
    """Return the ratings, those that cost most as ternary ones first; with an allotment, what each keeps."""
    extra = _extra_bytes(ratings, shapes, plan, recipe)
    columns = [
        "weight",
        "weights",
        *(f"{form}, cost" for form in FORMS),
        "4 bits, kB more",
        "8 bits, kB more",
    ]
    rows: list[list[Any]] = []
    for rating in sorted(ratings, key=lambda rating: -rating.costs["ternary"].distance):
        costs = [float(f"{rating.costs[form].distance:.3g}") for form in FORMS]
        more = [round(extra[rating.name][form] / 1e3, 1) for form in ("4 bits", "8 bits")]
        row = [rating.name, rating.num_weights, *costs, *more]
        if allotment:
            row.append(f"{allotment.bits[rating.name]} bits" if rating.name in allotment.bits else "ternary")
        rows.append(row)
    title = "What each weight costs alone: mean 1 - cosine of its tower's embeddings to the original's"
    return Table(title, [*columns, *(["becomes"] if allotment else [])], rows)


def shapes_of(clip: Clip) -> Shapes:
    """Return the shape of every tensor that a packed file of the model holds, by name."""
    return {name: tuple(tensor.shape) for name, tensor in clip.model.state_dict().items()}


def _pairs_alone(recipe: Recipe) -> Recipe:
    """Return the recipe without images and texts of no pair: ranking weights needs fewer inputs."""
    calibrate = recipe.calibrate.model_copy(update={"extra_images": 0, "extra_texts": 0})
    return recipe.model_copy(update={"calibrate": calibrate})


def _allowed(budget: str, shapes: Shapes, plan: Plan, recipe: Recipe) -> int:
    return budget_bytes(budget, shapes, plan.bits, recipe.quantize.scale, recipe.pack.dtype)


def _predicted(shapes: Shapes, plan: Plan, bits: Mapping[str, int], recipe: Recipe) -> int:
    return predicted_bytes(shapes, {**plan.bits, **bits}, recipe.quantize.scale, recipe.pack.dtype)


def _extra_bytes(
    ratings: Sequence[Rating], shapes: Shapes, plan: Plan, recipe: Recipe
) -> dict[str, dict[str, int]]:
    """Return how many bytes each form of each weight takes more than the ternary one."""
    least = _predicted(shapes, plan, {}, recipe)
    return {
        rating.name: {
            form: _predicted(shapes, plan, {rating.name: bits} if bits else {}, recipe) - least
            for form, bits in FORMS.items()
        }
        for rating in ratings
    }


def _identity(recipe: Recipe, clip: Clip) -> str:
    """Return a hash of all that ratings depend on: not of the budget, nor of how many pairs come later."""
    document = recipe.model_dump(mode="json")
    del document["quantize"]["budget"]
    for name in ("pairs", "extra_images", "extra_texts"):
        del document["calibrate"][name]
    sections = [document[name] for name in ("data", "quantize", "calibrate", "sensitivity")]
    return fingerprint(clip.source.commit, *sections)


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
