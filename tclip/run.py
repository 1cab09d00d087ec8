"""The run folder: one recipe, and what each stage left.

RUN/recipe.yaml     the resolved recipe
RUN/stages.json     which stages are finished, and from what
RUN/calibrated/     the ternary model before training (fp32 beside the codes)
RUN/steps/          checkpoints and the log of training
RUN/trained/        the ternary model after training (fp32 beside the codes)
RUN/packed/         the model to ship
RUN/onnx/           the exported files
RUN/results/        one record a data set and form, and the tables
RUN/report/         the page that shows all of it
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tclip.errors import RecipeError, UserError, first_line, no_text
from tclip.recipe.local import absolute
from tclip.recipe.read import read_recipe
from tclip.recipe.schema import Recipe
from tclip.recipe.write import write_recipe

STAGE_ORDER = ("calibrate", "train", "pack", "export", "eval")


@dataclass(frozen=True)
class Run:
    """A run folder and its recipe."""

    folder: Path
    recipe: Recipe

    @property
    def calibrated(self) -> Path:
        """The model after calibration."""
        return self.folder / "calibrated"

    @property
    def steps(self) -> Path:
        """Checkpoints and log of training."""
        return self.folder / "steps"

    @property
    def trained(self) -> Path:
        """The model after training."""
        return self.folder / "trained"

    @property
    def packed(self) -> Path:
        """The model to ship."""
        return self.folder / "packed"

    @property
    def onnx(self) -> Path:
        """The exported files."""
        return self.folder / "onnx"

    @property
    def results(self) -> Path:
        """Records and tables."""
        return self.folder / "results"

    @property
    def report(self) -> Path:
        """The page on the run and its pictures."""
        return self.folder / "report"

    @property
    def ternary(self) -> Path:
        """The newest full-precision ternary model: trained if the recipe trains, else calibrated."""
        return self.trained if self.recipe.train else self.calibrated

    def finished(self) -> dict[str, str]:
        """Return the fingerprint with which each finished stage was run, by stage.

        Raises:
            UserError: the record is damaged.
        """
        path = self.folder / "stages.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{path} is damaged ({first_line(error)}): delete it, and run the stages again."
            ) from error

    def begin(self, stage: str) -> None:
        """Say that from here on a stage changes what the folder holds; each calls it, as late as it can.

        The folder's recipe becomes this one, and records of the stage and of those after it are taken back:
        what stops half way must not pass for finished. What is refused before leaves the folder as it was.
        """
        self.forget(STAGE_ORDER[STAGE_ORDER.index(stage) :])
        write_recipe(self.recipe, self.folder / "recipe.yaml")

    def mark(self, stage: str, fingerprint: str, later: Iterable[str]) -> None:
        """Record that a stage is finished; what the later stages left no longer follows from it."""
        self.forget(later)
        write_recipe(self.recipe, self.folder / "recipe.yaml")
        write_json(self.folder / "stages.json", self.finished() | {stage: fingerprint})

    def forget(self, stages: Iterable[str]) -> None:
        """Take back the records of stages: what they left is no longer to be relied on."""
        gone = set(stages)
        kept = {name: value for name, value in self.finished().items() if name not in gone}
        write_json(self.folder / "stages.json", kept)


def open_run(folder: Path) -> Run:
    """Open the run folder that an earlier command made.

    Raises:
        UserError: it is no run folder, or its path is not UTF-8.
    """
    if problem := no_text(folder):
        raise UserError(problem)
    if not (folder / "recipe.yaml").is_file():
        raise UserError(
            f"{folder} is no run folder (it has no recipe.yaml): "
            f"make one with `tclip compress MODEL --out {folder}`."
        )
    return Run(folder, read_recipe(folder / "recipe.yaml"))


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run; a published packed model has a recipe.yaml too, and a config.json."""
    return (folder / "recipe.yaml").is_file() and not (folder / "config.json").is_file()


def is_first_process() -> bool:
    """Return whether this is the first, or only, of the processes that `accelerate launch` started."""
    return os.environ.get("RANK", "0") == "0"


def create_run(folder: Path, recipe: Recipe, *, resume: bool) -> Run:
    """Make a run folder for a recipe, or take up one that has the same recipe.

    Local paths of the recipe become absolute, so that later commands may be given from any folder. Of several
    processes the first makes the folder.

    Raises:
        RecipeError: the folder holds a run already, and it is not to be resumed or has another recipe. One
            that left nothing but its recipe (a mistake in the data, say) is begun anew. Or the folder's path
            is not UTF-8.
    """
    if problem := no_text(folder):
        raise RecipeError(problem)
    recipe = with_absolute_paths(recipe)
    if not is_first_process():
        return Run(folder, recipe)
    if _holds_work(folder):
        if not resume:
            raise RecipeError(
                f"{folder} holds a run already: add --resume to go on with it, or give another --out."
            )
        earlier = read_recipe(folder / "recipe.yaml")
        changed = [key for key in _differing(earlier, recipe) if not key.startswith("eval.")]
        if changed:
            raise RecipeError(
                f"{folder} was begun with another recipe (it differs in {', '.join(changed)}): "
                "give the same, or another --out."
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_recipe(recipe, folder / "recipe.yaml")
    return Run(folder, recipe)


def _holds_work(folder: Path) -> bool:
    """Whether a run has left something that would be lost: a finished stage, a model or a checkpoint."""
    if not (folder / "recipe.yaml").is_file():
        return False
    run = Run(folder, read_recipe(folder / "recipe.yaml"))
    made = (run.calibrated, run.steps, run.trained, run.packed, run.onnx)
    return bool(run.finished()) or any(part.exists() for part in made)


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with every local path absolute; ids and addresses stay as they are."""
    return with_sources(recipe, absolute)


DATA_SOURCES = ("train", "images", "texts", "calibrate")


def with_sources(recipe: Recipe, change: Callable[[str], str]) -> Recipe:
    """Return the recipe with every name of a model or of data changed."""
    model, teacher, data, measured = recipe.model, recipe.teacher, recipe.data, recipe.eval
    changed = {
        "model": model.model_copy(update={"id": model.id and change(model.id)}),
        "teacher": teacher.model_copy(update={"id": teacher.id and change(teacher.id)}),
        "data": data.model_copy(update={key: tuple(map(change, getattr(data, key))) for key in DATA_SOURCES}),
        "eval": measured.model_copy(update={"data": tuple(map(change, measured.data))}),
    }
    return recipe.model_copy(update=changed)


def _differing(one: Any, other: Any, prefix: str = "") -> list[str]:
    """Return the dotted keys in which two recipes, or two sections, differ."""
    if not (isinstance(one, BaseModel) and type(one) is type(other)):
        same = one == other and (not isinstance(one, dict) or list(one) == list(other))  # the last one counts
        return [] if same else [prefix.rstrip(".")]
    return [
        key
        for name in type(one).model_fields
        for key in _differing(getattr(one, name), getattr(other, name), f"{prefix}{name}.")
    ]


def fingerprint(*parts: Any) -> str:
    """Return a hash of JSON-able parts: what a stage's result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the whole new one."""
    write_whole(path, (json.dumps(value, indent=2) + "\n").encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and its folder if need be, so that a reader sees the old content or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
