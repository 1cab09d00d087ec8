"""What trackers are told: what the log says, once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelerate.accelerator
import accelerate.tracking
import pytest
from accelerate.tracking import GeneralTracker

from tclip.distill.log import read_log
from tclip.distill.loop import Trainer
from tclip.distill.tracking import NAME_OPTIONS, flat
from tclip.errors import TrainingError
from tclip.recipe.schema import Train
from tclip.run import Run
from tests.distill.making import make_run, recipe, train_run


@pytest.fixture
def tracked_run(
    tiny_folder: Callable[[str], Path], pairs: Path, calibrated: Path, tmp_path: Path
) -> Callable[..., Run]:
    """tracked_run(tracker, ...) makes a run folder that is ready to train."""

    def make(tracker: str | None, **train: Any) -> Run:
        only = {"tracker": tracker, "losses": {"feature": 1.0}} | train
        return make_run(tmp_path / "run", calibrated, recipe(tiny_folder("clip"), pairs, train=only))

    return make


class Remembered(GeneralTracker):
    """Stands for a tracker that keeps everything that it is told."""

    name = "wandb"
    requires_logging_directory = False
    opened: list["Remembered"]

    def __init__(self, run_name: str, **options: Any) -> None:
        super().__init__()
        self.project, self.options = run_name, options
        self.config: dict[str, Any] = {}
        self.told: list[tuple[int | None, dict[str, Any]]] = []
        self.finished = False
        self.opened.append(self)

    @property
    def tracker(self) -> "Remembered":
        return self

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.config = values

    def log(self, values: dict[str, Any], step: int | None = None, **options: Any) -> None:
        self.told.append((step, values))

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> list[Remembered]:
    """In the place of wandb, one for each time that training was begun or resumed."""
    opened: list[Remembered] = []
    monkeypatch.setattr(Remembered, "opened", opened, raising=False)
    monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "wandb", Remembered)
    monkeypatch.setattr(accelerate.tracking, "_available_trackers", [accelerate.utils.LoggerType.WANDB])
    monkeypatch.setattr("tclip.distill.tracking.tracker_problem", lambda recipe: None)
    return opened


def break_off(monkeypatch: pytest.MonkeyPatch, run: Run, step: int) -> None:
    """Train until a step, as if the process had been killed there."""
    inner = Trainer._step

    def dies(self: Trainer, batch: Any, progress: float) -> Any:
        if self.budget.step == step:
            raise RuntimeError("killed")
        return inner(self, batch, progress)

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="killed"):
        patched.setattr(Trainer, "_step", dies)
        train_run(run)


def lines_of(run: Run) -> list[tuple[int, dict[str, float]]]:
    lines = read_log(run.steps)
    return [(int(line["step"]), {key: x for key, x in line.items() if key != "step"}) for line in lines]


def test_a_tracker_is_told_what_the_log_says(
    tracked_run: Callable[..., Run], remembered: list[Remembered]
) -> None:
    run = tracked_run("wandb")
    train_run(run)
    (tracker,) = remembered
    assert tracker.told == lines_of(run)
    assert {"loss", "feature", "lr", "grad_norm", "seconds"} == set(tracker.told[0][1])
    assert tracker.finished


def test_project_and_run_have_names_and_the_recipe_is_told(
    tracked_run: Callable[..., Run], remembered: list[Remembered]
) -> None:
    run = tracked_run("wandb")
    train_run(run)
    (tracker,) = remembered
    assert tracker.project == f"tclip-{run.recipe.name}"
    assert tracker.options["name"] == "run"
    assert tracker.config["train.batch_size"] == 8
    assert tracker.config["data.train"] == "captions.csv"  # not where it lies on this machine


def test_after_a_resume_no_step_is_told_twice_and_the_run_is_the_same(
    tracked_run: Callable[..., Run], remembered: list[Remembered], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tracked_run("wandb", checkpoint_every=2)
    break_off(monkeypatch, run, step=3)  # the last checkpoint is of step 2
    train_run(run)
    first, second = remembered
    assert [step for step, _ in first.told + second.told] == [1, 2, 3, 4, 5, 6]
    assert first.options["id"] == second.options["id"] and second.options["resume"] == "allow"
    assert first.finished and second.config == {}


def test_training_anew_is_another_run(tracked_run: Callable[..., Run], remembered: list[Remembered]) -> None:
    run = tracked_run("wandb", steps=1)
    train_run(run)
    shutil.rmtree(run.steps)  # as the pipeline does
    train_run(run)
    first, second = remembered
    assert first.options["id"] != second.options["id"] and second.told[0][0] == 1


def scalars(run: Run) -> dict[str, dict[int, float]]:
    """What TensorBoard shows, by name and step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.steps / "tracker" / f"tclip-{run.recipe.name}"))
    events.Reload()
    return {
        name: {event.step: event.value for event in events.Scalars(name)} for name in events.Tags()["scalars"]
    }


def test_tensorboard_shows_the_log_also_after_a_resume(
    tracked_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tracked_run("tensorboard", checkpoint_every=2)
    break_off(monkeypatch, run, step=3)
    assert list(scalars(run)["loss"]) == [1, 2, 3]
    train_run(run)
    shown, lines = scalars(run), lines_of(run)
    assert list(shown["loss"]) == [1, 2, 3, 4, 5, 6]
    for name in lines[0][1]:
        assert list(shown[name].values()) == pytest.approx([values[name] for _, values in lines], rel=1e-6)


def test_without_a_tracker_nothing_is_written(tracked_run: Callable[..., Run]) -> None:
    run = tracked_run(None, steps=1)
    train_run(run)
    assert not (run.steps / "tracker").exists()


def test_a_tracker_that_is_not_installed_is_refused_before_a_model_is_loaded(
    tracked_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tclip.recipe.preflight.find_spec", lambda name: None)
    monkeypatch.setattr("tclip.distill.stage._models", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(TrainingError, match="comet_ml is not installed: pip install comet-ml"):
        train_run(tracked_run("comet_ml"))


def test_a_tracker_that_accelerate_leaves_out_is_refused(
    tracked_run: Callable[..., Run], remembered: list[Remembered], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerate.tracking, "_available_trackers", [])
    monkeypatch.setattr("tclip.distill.stage._models", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(TrainingError, match="cannot use wandb: update both"):
        train_run(tracked_run("wandb"))


def test_every_tracker_of_accelerate_may_be_named() -> None:
    known = {str(each) for each in accelerate.utils.LoggerType} - {"all"}
    for name in known:
        assert Train(steps=1, tracker=name).tracker == name
    assert set(NAME_OPTIONS) <= known


def test_settings_are_flat_texts_and_numbers() -> None:
    document = {"a": 1, "b": {"c": None, "d": {"e": ("x", "y")}}, "f": []}
    assert flat(document) == {"a": 1, "b.c": None, "b.d.e": "x, y", "f": ""}
    assert json.dumps(flat(document))
