"""The stages in order: what runs, what is not run again, what is refused. Their work is stood in for."""

from pathlib import Path
from typing import Any

import pytest

from tclip import pipeline
from tclip.errors import RecipeError, UserError
from tclip.pipeline import STAGES, Stage, check_ready, compress, run_stage, state_of
from tclip.progress import Collected
from tclip.recipe.schema import Recipe
from tclip.recipe.write import write_recipe
from tclip.run import Run, open_run

ORDER = ["calibrate", "train", "pack", "export", "eval"]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the stages that were run; each leaves nothing."""
    names: list[str] = []
    for stage in STAGES.values():
        monkeypatch.setitem(FUNCTIONS, stage.function, lambda run, progress, s=stage: names.append(_name(s)))
    monkeypatch.setattr(Stage, "load", lambda self: FUNCTIONS[self.function])
    monkeypatch.setattr(pipeline, "check_fit", lambda recipe: None)
    return names


FUNCTIONS: dict[str, Any] = {}


def _name(stage: Stage) -> str:
    return next(name for name, each in STAGES.items() if each == stage)


def recipe(folder: Path, **sections: Any) -> Recipe:
    (folder / "pairs").mkdir(exist_ok=True)
    document = {
        "schema": 1,
        "model": {"id": "ViT-B-32"},
        "data": {"train": [str(folder / "pairs")]},
        "train": {"steps": 3},
    }
    return Recipe.model_validate(document | sections)


def changed(run: Run, **sections: Any) -> Run:
    """The run with a recipe that was edited by hand."""
    edited = Recipe.model_validate(run.recipe.model_dump(by_alias=True) | sections)
    write_recipe(edited, run.folder / "recipe.yaml")
    return open_run(run.folder)


def test_every_stage_runs_in_order(tmp_path: Path, ran: list[str]) -> None:
    assert list(STAGES) == ORDER
    run = compress(recipe(tmp_path), tmp_path / "run", Collected())
    assert ran == ORDER
    assert list(run.finished()) == ORDER


def test_stop_after_and_resume(tmp_path: Path, ran: list[str]) -> None:
    compress(recipe(tmp_path), tmp_path / "run", Collected(), last="train")
    assert ran == ["calibrate", "train"]
    progress = Collected()
    compress(recipe(tmp_path), tmp_path / "run", progress, resume=True)
    assert ran == ORDER
    assert progress.notes == [
        f"The run folder: {tmp_path / 'run'}",
        "calibrate: finished before",
        "train: finished before",
    ]


def test_how_far_a_stage_is(tmp_path: Path, ran: list[str]) -> None:
    run = compress(recipe(tmp_path), tmp_path / "run", Collected(), last="export")
    assert [state_of(run, name) for name in ORDER] == [*["finished"] * 4, "missing"]
    run = changed(run, pack={"dtype": "float32"})
    assert [state_of(run, name) for name in ORDER] == [*["finished"] * 2, *["stale"] * 2, "missing"]


def test_what_comes_after_packing_needs_a_packed_model(tmp_path: Path, ran: list[str]) -> None:
    run = compress(recipe(tmp_path), tmp_path / "run", Collected(), last="train")
    with pytest.raises(UserError, match="is not ready for push, pack is missing: run `tclip pack"):
        check_ready(run, "push")
    run_stage(run, "pack", Collected())
    check_ready(run, "push")


def test_what_was_cut_short_is_run_again(
    tmp_path: Path, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(run: Run, progress: Any) -> None:
        ran.append("pack, cut short")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setitem(FUNCTIONS, "pack", stop)
        with pytest.raises(KeyboardInterrupt):
            compress(recipe(tmp_path), tmp_path / "run", Collected())
    compress(recipe(tmp_path), tmp_path / "run", Collected(), resume=True)
    assert ran == ["calibrate", "train", "pack, cut short", "pack", "export", "eval"]


def test_new_evaluation_runs_alone(tmp_path: Path, ran: list[str]) -> None:
    compress(recipe(tmp_path), tmp_path / "run", Collected())
    ran.clear()
    compress(recipe(tmp_path, eval={"limit": 3}), tmp_path / "run", Collected(), resume=True)
    assert ran == ["eval"]


def test_a_stage_again_makes_the_later_ones_unfinished(tmp_path: Path, ran: list[str]) -> None:
    run = compress(recipe(tmp_path), tmp_path / "run", Collected())
    run_stage(run, "train", Collected())
    assert list(run.finished()) == ["calibrate", "train"]
    with pytest.raises(UserError, match=r"not ready for eval, pack is missing: run `tclip pack .*run` first"):
        run_stage(run, "eval", Collected())


@pytest.mark.parametrize("stage", ["train", "pack", "export", "eval"])
def test_the_first_forerunner_of_other_settings_is_named(tmp_path: Path, ran: list[str], stage: str) -> None:
    run = compress(recipe(tmp_path), tmp_path / "run", Collected())
    run = changed(run, quantize={"scale": "tensor"})
    with pytest.raises(UserError, match="calibrate was run with other settings: run `tclip calibrate"):
        run_stage(run, stage, Collected())


def test_without_training_pack_needs_no_training(tmp_path: Path, ran: list[str]) -> None:
    compress(recipe(tmp_path, train=None), tmp_path / "run", Collected(), last="calibrate")
    run_stage(open_run(tmp_path / "run"), "pack", Collected())
    assert ran == ["calibrate", "pack"]


def test_training_begins_anew_unless_resumed(tmp_path: Path, ran: list[str]) -> None:
    run = compress(recipe(tmp_path), tmp_path / "run", Collected(), last="calibrate")
    checkpoint = run.steps / "step-00000002" / "position.json"
    for resume, kept in ((True, True), (False, False)):
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_text("{}")
        run_stage(run, "train", Collected(), resume=resume)
        assert checkpoint.exists() == kept


def test_an_unknown_stage_gets_a_suggestion(tmp_path: Path, ran: list[str]) -> None:
    run = compress(recipe(tmp_path), tmp_path / "run", Collected(), last="calibrate")
    with pytest.raises(UserError, match='Did you mean "pack"'):
        run_stage(run, "pak", Collected())


def test_a_recipe_that_cannot_run_makes_no_folder(tmp_path: Path, ran: list[str]) -> None:
    with pytest.raises(RecipeError, match="no such file or folder"):
        compress(recipe(tmp_path, data={"train": ["./nowhere"]}), tmp_path / "run", Collected())
    assert not (tmp_path / "run").exists()
    assert ran == []


def test_of_several_processes_the_others_only_train(
    tmp_path: Path, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compress(recipe(tmp_path), tmp_path / "run", Collected(), last="calibrate")
    ran.clear()
    monkeypatch.setenv("RANK", "1")
    run = compress(recipe(tmp_path), tmp_path / "run", Collected(), resume=True)
    assert ran == ["train"]
    assert list(run.finished()) == ["calibrate"]


def test_the_others_wait_for_calibration(
    tmp_path: Path, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def calibrated_meanwhile(seconds: float) -> None:
        slept.append(seconds)
        with monkeypatch.context() as first:
            first.setenv("RANK", "0")
            compress(recipe(tmp_path), tmp_path / "run", Collected(), last="calibrate")

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("time.sleep", calibrated_meanwhile)
    compress(recipe(tmp_path), tmp_path / "run", Collected())
    assert ran == ["calibrate", "train"]
    assert len(slept) == 1
