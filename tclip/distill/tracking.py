"""What training logs, sent to TensorBoard, Weights & Biases and whatever else Accelerate knows."""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tclip.distill.log import Line, read_log
from tclip.errors import TrainingError
from tclip.recipe.local import without_folders
from tclip.recipe.preflight import tracker_problem
from tclip.run import Run, with_sources, write_json

# what each tracker calls the name of a run
NAME_OPTIONS = {
    "wandb": "name",
    "trackio": "name",
    "mlflow": "run_name",
    "clearml": "task_name",
    "swanlab": "experiment_name",
}


class Tracker:
    """Sends lines of the log to the tracker that the recipe names; without one it does nothing.

    It is made before training goes on from a checkpoint and cuts the log: a tracker that cannot take back
    steps is not told again of those that it was told of. TensorBoard can, and forgets them.

    Files go to RUN/steps/tracker, so that they end with the checkpoints when training begins anew.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._name = run.recipe.train.tracker if run.recipe.train else None
        self._folder = run.steps / "tracker"
        self._accelerator: Any = None
        lines = read_log(run.steps) if self._name else []
        self._told = lines[-1]["step"] if lines else 0.0

    def accelerator_settings(self) -> dict[str, Any]:
        """Return what Accelerator is to be made with.

        Raises:
            TrainingError: the tracker's package is not installed, or not one that Accelerate works with.
        """
        if self._name is None:
            return {}
        from accelerate.tracking import get_available_trackers

        if problem := tracker_problem(self._run.recipe):
            raise TrainingError(problem)
        if self._name not in map(str, get_available_trackers()):
            raise TrainingError(
                f"train.tracker: the accelerate that is installed cannot use {self._name}: update both, or "
                "set it to null."
            )
        return {"log_with": self._name, "project_dir": str(self._folder)}

    @contextmanager
    def telling(self, accelerator: Any, start: int) -> Iterator[None]:
        """Open the tracker while training lasts, and close it whatever ends training.

        Args:
            accelerator: made with accelerator_settings.
            start: the step that training goes on from; 0: it begins.
        """
        if self._name is None:
            yield
            return
        if self._name == "tensorboard":
            self._told = start
        accelerator.init_trackers(
            f"tclip-{self._run.recipe.name}",
            config=None if start else flat(with_sources(self._run.recipe, without_folders).model_dump()),
            init_kwargs={self._name: self._options(start)},
        )
        self._accelerator = accelerator
        try:
            yield
        finally:
            for tracker in accelerator.trackers:
                tracker.finish()

    def tell(self, line: Line) -> None:
        """Send a line of the log, unless its step was sent before."""
        if self._accelerator is not None and line["step"] > self._told:
            values = {name: value for name, value in line.items() if name != "step"}
            self._accelerator.log(values, step=int(line["step"]))

    def _options(self, start: int) -> dict[str, Any]:
        name = self._run.folder.resolve().name
        options: dict[str, Any] = {NAME_OPTIONS[self._name]: name} if self._name in NAME_OPTIONS else {}
        if self._name == "tensorboard" and start:
            options["purge_step"] = start + 1
        elif self._name == "dvclive":
            options |= {"dir": str(self._folder), "resume": start > 0}
        elif self._name == "wandb":
            options |= {"id": self._identity(), "resume": "allow"}
        return options

    def _identity(self) -> str:
        """Return what names this training on a server, the same after a resume."""
        path = self._folder / "identity.json"
        if not path.is_file():
            write_json(path, uuid.uuid4().hex)
        return str(json.loads(path.read_text(encoding="utf-8")))


def flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested document by dotted keys, with lists as text, as trackers want their settings."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return found
