"""What each rated weight keeps: least sum of costs within a size, or least size within a sum of costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from tclip.calibrate.knapsack import Choice, solve
from tclip.calibrate.sensitivity import FORMS, Rating
from tclip.errors import RecipeError
from tclip.models.sites import Plan
from tclip.packed.predict import Shapes, budget_bytes, predicted_bytes
from tclip.progress import Table
from tclip.recipe.schema import Recipe

COST_STEPS = 10**9  # a limit of costs in whole steps, for the knapsack

Forms = Sequence[str]


@dataclass(frozen=True)
class Allotment:
    """What a budget buys.

    Attributes:
        bits: of the weights that keep 4 or 8; all others become ternary.
        allowed_bytes: what quantize.budget allows; None: what costs at most quantize.max_cost was asked for.
        predicted_bytes: what the file will have.
        cost: the sum of the weights' costs.
    """

    bits: dict[str, int]
    allowed_bytes: int | None
    predicted_bytes: int
    cost: float

    def __str__(self) -> str:
        """What is kept, the size of the file, and the cost."""
        counts = [sum(bits == each for bits in self.bits.values()) for each in (8, 4)]
        allowed = "" if self.allowed_bytes is None else f" of {self.allowed_bytes:,}"
        return (
            f"{counts[0]} weights keep 8 bits and {counts[1]} keep 4; model.safetensors will have "
            f"{self.predicted_bytes:,}{allowed} bytes, at a cost of {self.cost:.3g}"
        )


def allot(ratings: Sequence[Rating], shapes: Shapes, plan: Plan, recipe: Recipe) -> Allotment:
    """Choose what each rated weight keeps, at the least sum of costs within quantize.budget, or at the least
    size whose costs add up to quantize.max_cost at most.

    Args:
        ratings: of all weights that the plan makes ternary.
        shapes: of every tensor of the model.
        plan: by the recipe.
        recipe: with quantize.budget or quantize.max_cost.

    Raises:
        RecipeError: the budget is below the least size, the cost below the least, or nothing is left ternary.
    """
    max_cost, budget = recipe.quantize.max_cost, recipe.quantize.budget
    allowed, key = None, f"max_cost {max_cost:g}" if max_cost is not None else f"budget {budget}"
    if max_cost is not None:
        forms = _within_cost(ratings, shapes, plan, recipe, max_cost)
    else:
        allowed = allowed_bytes(shapes, plan, recipe)
        forms = _within_bytes(ratings, shapes, plan, recipe, allowed)
    bits = _bits(ratings, forms)
    predicted = _predicted(shapes, plan, bits, recipe)
    if len(bits) == len(ratings):
        raise RecipeError(
            f"quantize.{key} leaves nothing to be ternary: every weight would keep 4 or 8 bits, in "
            f"{predicted:,} bytes; give {'less' if max_cost is None else 'more'}."
        )
    return Allotment(bits, allowed, predicted, _cost(ratings, forms))


def allowed_bytes(shapes: Shapes, plan: Plan, recipe: Recipe) -> int:
    """Return what quantize.budget allows.

    Raises:
        RecipeError: that is less than the least size.
    """
    budget = str(recipe.quantize.budget)
    return budget_bytes(budget, shapes, plan.bits, recipe.quantize.scale, recipe.pack.dtype)


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


def _within_bytes(
    ratings: Sequence[Rating], shapes: Shapes, plan: Plan, recipe: Recipe, allowed: int
) -> Forms:
    extra = _extra_bytes(ratings, shapes, plan, recipe)
    choices = [
        [Choice(extra[rating.name][form], rating.costs[form].distance) for form in FORMS]
        for rating in ratings
    ]
    capacity = allowed - _predicted(shapes, plan, {}, recipe)
    while True:  # at most twice or thrice: a few bytes of the header do not add up
        forms = [list(FORMS)[chosen] for chosen in solve(choices, capacity)]
        over = _predicted(shapes, plan, _bits(ratings, forms), recipe) - allowed
        if over <= 0:
            return forms
        capacity = max(0, capacity - over)


def _within_cost(
    ratings: Sequence[Rating], shapes: Shapes, plan: Plan, recipe: Recipe, max_cost: float
) -> Forms:
    """The same knapsack, bytes and costs in each other's place; costs are rounded up to whole steps."""

    def steps(cost: float) -> int:
        return ceil(min(COST_STEPS * cost / max_cost, COST_STEPS + 1))

    extra = _extra_bytes(ratings, shapes, plan, recipe)
    choices = [
        [Choice(steps(rating.costs[form].distance), float(extra[rating.name][form])) for form in FORMS]
        for rating in ratings
    ]
    if sum(min(choice.size for choice in some) for some in choices) > COST_STEPS:
        least = sum(min(cost.distance for cost in rating.costs.values()) for rating in ratings)
        raise RecipeError(
            f"quantize.max_cost {max_cost:g} cannot be met: even at 8 bits the weights cost {least:.3g} in "
            "sum; give more."
        )
    return [list(FORMS)[chosen] for chosen in solve(choices, COST_STEPS)]


def _bits(ratings: Sequence[Rating], forms: Forms) -> dict[str, int]:
    kept = {rating.name: FORMS[form] for rating, form in zip(ratings, forms, strict=True)}
    return {name: each for name, each in kept.items() if each is not None}


def _cost(ratings: Sequence[Rating], forms: Forms) -> float:
    return sum(rating.costs[form].distance for rating, form in zip(ratings, forms, strict=True))


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
