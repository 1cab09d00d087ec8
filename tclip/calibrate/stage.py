"""The stage `calibrate`: from the original model to a ternary one, without training."""

import shutil

import torch

from tclip.calibrate.calibrate import calibrate as calibrate_clip
from tclip.calibrate.mixed import shared_out
from tclip.calibrate.pairs import check_extras, read_pairs
from tclip.models.load import load_dense
from tclip.models.sites import Plan, find_sites, plan_ternarization
from tclip.packed.write import write_packed
from tclip.progress import Progress, Table
from tclip.run import Run, write_json

UNSEEN = 8  # one pair in so many more is held out, to report on


def calibrate(run: Run, progress: Progress) -> None:
    """Ternarize the original into RUN/calibrated; the report goes to RUN/results/calibration.json.

    With quantize.budget or max_cost it is first measured what each weight costs, in
    RUN/results/sensitivity.json.

    Raises:
        RecipeError: the recipe, or its budget, does not fit the model.
        DataError: the data, or what training wants beside them, cannot be read, or hold too little.
    """
    recipe = run.recipe
    clip = load_dense(str(recipe.model.id), recipe.model.revision)
    check_extras(recipe, clip)
    if torch.cuda.is_available():
        clip.model.to("cuda")
    sites, quantize = find_sites(clip.model), recipe.quantize
    plan = plan_ternarization(sites, quantize)
    if quantize.is_rated:
        quantize = shared_out(recipe, clip, plan, run.results / "sensitivity.json", progress)
        plan = plan_ternarization(sites, quantize)
    progress.table(plan_table(plan))
    progress.begin("calibrate", len(plan.bits))
    wanted = recipe.calibrate.pairs
    pairs, unseen = read_pairs(recipe, clip, wanted, max(1, wanted // UNSEEN))
    report = calibrate_clip(
        clip,
        plan,
        quantize,
        recipe.calibrate,
        pairs,
        unseen,
        lambda count, name: progress.update(count, len(plan.bits)),
    )
    clip.model.to("cpu")
    run.begin("calibrate")
    shutil.rmtree(run.steps, ignore_errors=True)  # checkpoints of another start
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
            row.form,
            row.why,
        ]
        for row in plan.summary()
    ]
    title = f"What becomes ternary: {plan.ternary_share:.2%} of all weights"
    return Table(title, ["tower", "role", "tensors", "weights", "becomes", "why"], rows)
