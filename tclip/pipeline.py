"""The stages in order, on one run folder. Each reads what the one before left on disk."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from tclip.errors import ModelError, UserError, unknown_name
from tclip.progress import Progress, Table
from tclip.recipe.preflight import check_recipe
from tclip.recipe.schema import Recipe
from tclip.recipe.settings import settings_of
from tclip.run import STAGE_ORDER, Run, create_run, fingerprint, is_first_process

StageFunction = Callable[[Run, Progress], None]
State = Literal["finished", "stale", "missing"]


@dataclass(frozen=True)
class Stage:
    """One stage: where its function lives, and what of the recipe its result depends on.

    Attributes:
        module, function: where it is found.
        keys: sections of the recipe, or parts of one.
        rated_keys: what it also depends on where quantize.budget or max_cost is set.
        check: a function beside it that looks at the recipe's data before any stage is run, or "".
    """

    module: str
    function: str
    keys: tuple[str, ...]
    rated_keys: tuple[str, ...] = ()
    check: str = ""

    def keys_for(self, recipe: Recipe) -> tuple[str, ...]:
        """Return the keys of a recipe that the stage's result depends on."""
        return (*self.keys, *(self.rated_keys if recipe.quantize.is_rated else ()))

    def owns(self, key: str, recipe: Recipe) -> bool:
        """Return whether a dotted key, or a part of what it names, is among the stage's own."""
        return any(
            key == own or key.startswith(f"{own}.") or own.startswith(f"{key}.")
            for own in self.keys_for(recipe)
        )

    def load(self) -> StageFunction:
        """Import the stage's function; torch and its kin come in only here."""
        return getattr(import_module(self.module), self.function)

    def look(self, recipe: Recipe) -> None:
        """Raise what the stage's check raises: a mistake that would else show hours later."""
        if self.check:
            getattr(import_module(self.module), self.check)(recipe)


STAGES: dict[str, Stage] = {
    "calibrate": Stage(
        "tclip.calibrate.stage",
        "calibrate",
        (
            "model",
            "quantize",
            "calibrate",
            *(f"data.{name}" for name in ("train", "calibrate", "images", "texts", "split")),
            *(f"data.{name}" for name in ("captions", "text_tokens")),
        ),
        rated_keys=("sensitivity", "pack.dtype"),  # the size of what stays float is part of the budget
    ),
    "train": Stage(
        "tclip.distill.stage",
        "train",
        ("teacher", "train", *(f"data.{name}" for name in ("views", "min_crop", "shuffle"))),
    ),
    "pack": Stage("tclip.packed.stage", "pack", ("pack",)),
    "export": Stage("tclip.export.stage", "export", ("export",)),
    "eval": Stage("tclip.evaluate.stage", "evaluate_run", ("eval",), check="check_sets"),
}


def compress(
    recipe: Recipe, folder: Path, progress: Progress, resume: bool = False, last: str = "eval"
) -> Run:
    """Run every stage of a recipe, in order.

    Args:
        recipe: the resolved recipe.
        folder: the run folder, made if it does not exist. Of several processes under `accelerate launch`
            the first does everything; the others take part in training.
        progress: who is told.
        resume: go on with a run that the folder holds; stages that are finished are not run again.
        last: the stage to stop after, a name of STAGES.

    Raises:
        UserError: anything that the user can mend; what can be checked is checked before the first
            byte of a model is downloaded.
    """
    check_recipe(recipe)
    check_fit(recipe)
    names = STAGE_ORDER[: STAGE_ORDER.index(last) + 1]
    for name in names:
        STAGES[name].look(recipe)
    run = create_run(folder, recipe, resume=resume)
    check_model(run)
    progress.note(f"The run folder: {run.folder}")
    for name in names:
        if _is_finished(run, name):
            progress.note(f"{name}: finished before")
            _show_again(run, name, progress)
        else:
            run_stage(run, name, progress, resume=resume)
    return run


def _show_again(run: Run, name: str, progress: Progress) -> None:
    """Show the table that a run ends with, as evaluation left it."""
    kept = run.results / "table.json"
    if name == "eval" and kept.is_file():
        progress.table(Table(**json.loads(kept.read_text(encoding="utf-8"))))


def run_stage(run: Run, name: str, progress: Progress, resume: bool = False) -> None:
    """Run one stage on a run folder, again if it has been run before.

    Args:
        run: the run folder.
        name: a name of STAGES.
        progress: who is told.
        resume: for "train", go on from the last checkpoint instead of beginning anew.

    Raises:
        UserError: unknown stage, a stage before it has not been run, or what the stage itself raises.
    """
    if name not in STAGES:
        raise UserError(unknown_name("stage", name, STAGES))
    if not is_first_process():
        _take_part(run, name, progress)
        return
    check_ready(run, name)
    if name == "train":
        check_model(run)
    function = STAGES[name].load()
    if name == "train" and not resume:
        shutil.rmtree(run.steps, ignore_errors=True)
    function(run, progress)
    run.mark(name, stage_fingerprint(run.recipe, name), STAGE_ORDER[STAGE_ORDER.index(name) + 1 :])


def _take_part(run: Run, name: str, progress: Progress) -> None:
    """Do what falls to a process that is not the first: to train, once the first has calibrated."""
    if name == "train":
        while not _is_finished(run, "calibrate"):
            time.sleep(1)
        STAGES[name].load()(run, progress)


def check_ready(run: Run, name: str) -> None:
    """Refuse a stage, or what comes after packing, whose forerunners have not been run with this recipe.

    Raises:
        UserError: one has not; the message tells which to run first.
    """
    stale = [stage for stage in _needed(run, name) if not _is_finished(run, stage)]
    if stale:
        first = stale[0]
        why = f"{first} was run with other settings" if first in run.finished() else f"{first} is missing"
        raise UserError(
            f"{run.folder} is not ready for {name}, {why}: run `tclip {first} {run.folder}` first."
        )


def state_of(run: Run, name: str) -> State:
    """Return how far a stage is; it is stale if it was run with other settings than the recipe's."""
    if name not in run.finished():
        return "missing"
    return "finished" if _is_finished(run, name) else "stale"


def _is_finished(run: Run, name: str) -> bool:
    return run.finished().get(name) == stage_fingerprint(run.recipe, name)


def stage_fingerprint(recipe: Recipe, name: str) -> str:
    """Return a hash of all that a stage's result depends on, what earlier stages depend on included."""
    stages = [STAGES[stage] for stage in STAGE_ORDER[: STAGE_ORDER.index(name) + 1]]
    return fingerprint(settings_of(recipe, [key for stage in stages for key in stage.keys_for(recipe)]))


def check_fit(recipe: Recipe) -> None:
    """Check that a recipe fits its model, from the model's config.json alone.

    Raises:
        ModelError: no such model, or an architecture that is not supported.
        RecipeError: patterns that match nothing, group sizes that do not divide, a budget below the least
            size, and their like.
    """
    from tclip.models.fetch import fetch_config
    from tclip.models.load import empty_model
    from tclip.models.sites import find_sites, plan_ternarization
    from tclip.packed.predict import budget_bytes

    files = fetch_config(str(recipe.model.id), recipe.model.revision)
    model, quantize = empty_model(files, "meta"), recipe.quantize
    plan = plan_ternarization(find_sites(model), quantize)
    if quantize.budget:
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        budget_bytes(quantize.budget, shapes, plan.bits, quantize.scale, recipe.pack.dtype)
    if recipe.teacher.id:
        fetch_config(recipe.teacher.id, recipe.teacher.revision)


def check_model(run: Run) -> None:
    """Refuse to go on where an original that is a folder is no longer what it was at calibration.

    Of the Hub training takes the commit of then, wherever the branch is now.

    Raises:
        ModelError: it has changed: training would mix two models, and the rest would be of the old one.
    """
    from tclip.models.fetch import MODEL_FILES, hash_folder
    from tclip.models.names import resolve_name

    if not _is_finished(run, "calibrate"):
        return
    folder = resolve_name(str(run.recipe.model.id)).folder
    if folder is None:
        return
    from tclip.packed.load import base_of

    if hash_folder(folder) != base_of(run.calibrated).commit:
        raise ModelError(
            f"Files of {folder} ({', '.join(MODEL_FILES)}) have changed since {run.folder} was calibrated: "
            f"put them back, give another --out, or begin anew with `tclip calibrate {run.folder}`."
        )


def _needed(run: Run, name: str) -> list[str]:
    """Return the stages that must be finished before a stage can run; evaluation takes what there is."""
    makers = ["calibrate", "train", "pack"]
    earlier = makers[: makers.index(name)] if name in makers else makers
    return [stage for stage in earlier if stage != "train" or run.recipe.train]
