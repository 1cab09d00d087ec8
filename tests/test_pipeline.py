"""The stages in order: what runs, what is not run again, what is refused. Their work is stood in for."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tclip import pipeline
from tclip.errors import DataError, ModelError, RecipeError, UserError
from tclip.pipeline import (
    STAGES,
    Stage,
    check_model,
    check_ready,
    compress,
    run_stage,
    stage_fingerprint,
    state_of,
)
from tclip.progress import Collected
from tclip.recipe.schema import Recipe
from tclip.recipe.settings import settings_of
from tclip.recipe.write import write_recipe
from tclip.run import Run, open_run
from tests.distill.making import write_pairs

ORDER = ["calibrate", "train", "pack", "export", "eval"]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the stages that were run; each leaves nothing."""
    names: list[str] = []
    for stage in STAGES.values():
        monkeypatch.setitem(FUNCTIONS, stage.function, lambda run, progress, s=stage: names.append(_name(s)))
    monkeypatch.setattr(Stage, "load", lambda self: FUNCTIONS[self.function])
    monkeypatch.setattr(pipeline, "check_fit", lambda recipe: None)
    monkeypatch.setattr(pipeline, "check_model", lambda run: None)
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


def test_an_evaluation_set_is_looked_at_before_hours_of_work(tmp_path: Path, ran: list[str]) -> None:
    (tmp_path / "pictures" / "cats").mkdir(parents=True)
    made = recipe(tmp_path, eval={"data": [str(tmp_path / "pictures")]})
    with pytest.raises(DataError, match="is not in CLIP_benchmark's layout"):
        compress(made, tmp_path / "run", Collected())
    assert not (tmp_path / "run").exists()
    compress(made, tmp_path / "run", Collected(), last="pack")
    assert ran == ORDER[:3]


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


def test_a_key_that_is_not_set_is_no_other_setting(tmp_path: Path) -> None:
    plain = recipe(tmp_path)
    same = recipe(tmp_path, quantize={"max_cost": None, "scale": "row"}, train={"steps": 3, "compile": False})
    other = recipe(tmp_path, quantize={"scale": "tensor"})
    assert stage_fingerprint(plain, "pack") == stage_fingerprint(same, "pack")
    assert settings_of(same, ["quantize", "train", "pack.dtype"]) == {"train": {"steps": 3}}
    assert stage_fingerprint(plain, "calibrate") != stage_fingerprint(other, "calibrate")


def test_the_order_of_bits_counts(tmp_path: Path) -> None:
    one, other = (
        recipe(tmp_path, quantize={"bits": bits}) for bits in ({"a*": 4, "*b": 8}, {"*b": 8, "a*": 4})
    )
    assert stage_fingerprint(one, "calibrate") != stage_fingerprint(other, "calibrate")


@pytest.mark.parametrize(
    ("sections", "stale"),
    [
        ({"data": {"views": 4}}, ["train", "pack", "export", "eval"]),
        ({"sensitivity": {"pairs": 4}}, []),
        ({"pack": {"dtype": "float32"}}, ["pack", "export", "eval"]),
        ({"data": {"text_tokens": 9}}, ORDER),
        ({"data": {"captions": "words"}}, ORDER),
    ],
)
def test_what_a_setting_makes_stale(tmp_path: Path, sections: dict[str, Any], stale: list[str]) -> None:
    plain = recipe(tmp_path)
    data = {"train": plain.data.train} | sections.get("data", {})
    changed = recipe(tmp_path, **sections | {"data": data})
    assert [n for n in ORDER if stage_fingerprint(plain, n) != stage_fingerprint(changed, n)] == stale


@pytest.mark.parametrize("sections", [{"sensitivity": {"pairs": 4}}, {"pack": {"dtype": "float32"}}])
def test_within_a_limit_calibration_depends_on_more(tmp_path: Path, sections: dict[str, Any]) -> None:
    limited = {"quantize": {"budget": "110%"}}
    plain, changed = recipe(tmp_path, **limited), recipe(tmp_path, **limited, **sections)
    assert stage_fingerprint(plain, "calibrate") != stage_fingerprint(changed, "calibrate")


def test_a_model_that_has_changed_is_not_gone_on_with(
    tmp_path: Path, tiny_folder: Callable[[str], Path]
) -> None:
    model = shutil.copytree(tiny_folder("clip"), tmp_path / "clip")
    made = recipe(
        tmp_path,
        model={"id": str(model)},
        data={"train": [str(write_pairs(tmp_path / "words", 8))]},
        train=None,
        calibrate={"method": "round", "refit": False, "pairs": 4},
    )
    run = compress(made, tmp_path / "run", Collected(), last="calibrate")
    check_model(run)
    config = (model / "config.json").read_text()
    (model / "config.json").write_text(config + "\n")
    with pytest.raises(ModelError, match=r"have changed since .*run was calibrated: put them back"):
        compress(made, tmp_path / "run", Collected(), resume=True)
    run_stage(run, "calibrate", Collected())
    check_model(run)


def test_a_model_of_the_hub_may_have_moved_on(tmp_path: Path, ran: list[str]) -> None:
    run = compress(recipe(tmp_path), tmp_path / "run", Collected(), last="calibrate")
    check_model(run)  # nothing is read, of the Hub or of the calibrated model
