"""The stage `calibrate`: from the original model to a ternary one, without training."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from tclip.calibrate.calibrate import Pairs
from tclip.calibrate.calibrate import calibrate as calibrate_clip
from tclip.data.loader import take_pairs
from tclip.data.pairs import open_pairs
from tclip.errors import DataError
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.models.sites import Plan, find_sites, plan_ternarization
from tclip.packed.write import write_packed
from tclip.progress import Progress, Table
from tclip.recipe.schema import Recipe
from tclip.run import Run, write_json

UNSEEN = 8  # one pair in so many more is held out, to report on


def calibrate(run: Run, progress: Progress) -> None:
    """Ternarize the original into RUN/calibrated; the report goes to RUN/results/calibration.json.

    Raises:
        RecipeError: the recipe does not fit the model.
        DataError: the data cannot be read, or hold fewer than two pairs.
    """
    recipe = run.recipe
    clip = load_dense(str(recipe.model.id), recipe.model.revision)
    if torch.cuda.is_available():
        clip.model.to("cuda")
    plan = plan_ternarization(find_sites(clip.model), recipe.quantize)
    progress.table(plan_table(plan))
    progress.begin("calibrate", len(plan.ternary_names))
    pairs, unseen = _pairs(recipe, clip)
    report = calibrate_clip(
        clip,
        plan,
        recipe.quantize,
        recipe.calibrate,
        pairs,
        unseen,
        lambda count, name: progress.update(count, len(plan.ternary_names)),
    )
    clip.model.to("cpu")
    write_packed(clip, run.calibrated, "float32")
    write_json(run.results / "calibration.json", report.to_dict())
    for table in report.tables():
        progress.table(table)


def plan_table(plan: Plan) -> Table:
    """Return what becomes ternary, what does not, and why."""
    rows = [
        [
            row.tower,
            row.role,
            row.num_tensors,
            row.num_weights,
            "ternary" if row.ternary else "float",
            row.why,
        ]
        for row in plan.summary()
    ]
    title = f"What becomes ternary: {plan.ternary_share:.2%} of all weights"
    return Table(title, ["tower", "role", "tensors", "weights", "becomes", "why"], rows)


def _pairs(recipe: Recipe, clip: Clip) -> tuple[Pairs, Pairs]:
    specs = recipe.data.calibrate or recipe.data.train
    sources = [open_pairs(spec, recipe.data.split) for spec in specs]
    wanted = recipe.calibrate.pairs
    taken = take_pairs(sources, wanted + max(1, wanted // UNSEEN))
    if len(taken) < 2:
        raise DataError(
            f"{', '.join(specs)} hold {len(taken)} image-text pairs: calibration needs 2 at least."
        )
    seen = min(wanted, len(taken) - max(1, len(taken) // (UNSEEN + 1)))
    return _prepared(recipe, clip, taken[:seen]), _prepared(recipe, clip, taken[seen:])


def _prepared(recipe: Recipe, clip: Clip, pairs: Sequence[Any]) -> Pairs:
    size, tokens = recipe.calibrate.batch_size, recipe.data.text_tokens
    return Pairs(
        [clip.preprocess([image for image, _ in chunk]) for chunk in _chunks(pairs, size)],
        [clip.tokenize([text for _, text in chunk], max_tokens=tokens) for chunk in _chunks(pairs, size)],
    )


def _chunks(pairs: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return [pairs[start : start + size] for start in range(0, len(pairs), size)]
