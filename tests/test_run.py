"""The run folder: made once, taken up by the same recipe only, its records never half written."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tclip.errors import RecipeError, UserError
from tclip.recipe.schema import Recipe
from tclip.run import Run, create_run, fingerprint, open_run, write_json


def recipe(**sections: Any) -> Recipe:
    return Recipe.model_validate(
        {"schema": 1, "model": {"id": "ViT-B-32"}, "train": {"steps": 3}, "export": {"onnx": None}} | sections
    )


def test_a_run_is_opened_as_it_was_made(tmp_path: Path) -> None:
    made = create_run(tmp_path / "new" / "run", recipe(), resume=False)
    assert open_run(made.folder) == made
    assert made.finished() == {}


def test_what_is_no_run_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no run folder .*tclip compress MODEL --out"):
        open_run(tmp_path)


def test_a_folder_whose_path_is_no_text_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"r\xff") / "run"
    with pytest.raises(RecipeError, match=r"r.udcff.*is not UTF-8"):
        create_run(folder, recipe(), resume=False)
    assert not folder.parent.exists()
    with pytest.raises(UserError, match="is not UTF-8"):
        open_run(folder)


def test_a_run_is_not_overwritten_unless_resumed(tmp_path: Path) -> None:
    create_run(tmp_path, recipe(), resume=False).mark("calibrate", "done", later=())
    with pytest.raises(RecipeError, match="add --resume"):
        create_run(tmp_path, recipe(), resume=False)
    assert create_run(tmp_path, recipe(), resume=True).recipe == recipe()


def test_resume_names_every_key_that_differs_but_lets_evaluation_change(tmp_path: Path) -> None:
    create_run(tmp_path, recipe(), resume=False).calibrated.mkdir()
    other = recipe(train={"steps": 4, "lr": 0.5}, eval={"limit": 5})
    with pytest.raises(RecipeError, match=r"differs in train\.steps, train\.lr\)"):
        create_run(tmp_path, other, resume=True)
    assert open_run(tmp_path).recipe == recipe()
    create_run(tmp_path, recipe(eval={"limit": 5}), resume=True)
    assert open_run(tmp_path).recipe.eval.limit == 5


def test_a_run_that_left_nothing_is_begun_anew_with_any_recipe(tmp_path: Path) -> None:
    create_run(tmp_path, recipe(), resume=False)
    other = recipe(train={"steps": 4})
    assert create_run(tmp_path, other, resume=False).recipe == other
    assert open_run(tmp_path).recipe == other


def test_local_paths_become_absolute_and_ids_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clip").mkdir()
    Path("photos").mkdir()
    given = recipe(
        model={"id": "clip"},
        teacher={"id": "openai/clip-vit-large-patch14"},
        data={
            "train": ["photos", "shards/{0..9}.tar", "hf://owner/name", "owner/name"],
            "calibrate": "x.csv",
            "images": "photos",
            "texts": ["words", "prompts.txt", "./mine.txt"],
        },
        eval={"data": ["./sets/a"]},
    )
    kept = create_run(Path("run"), given, resume=False).recipe
    assert kept.model.id == str(tmp_path / "clip")
    assert kept.teacher.id == "openai/clip-vit-large-patch14"
    photos, shards = str(tmp_path / "photos"), str(tmp_path / "shards/{0..9}.tar")
    assert kept.data.train == (photos, shards, "hf://owner/name", "owner/name")
    assert kept.data.calibrate == (str(tmp_path / "x.csv"),)
    assert kept.data.images == (photos,)
    assert kept.data.texts == ("words", str(tmp_path / "prompts.txt"), str(tmp_path / "mine.txt"))
    assert kept.eval.data == (str(tmp_path / "sets/a"),)
    assert open_run(Path("run")).recipe == kept
    assert create_run(Path("run"), given, resume=True).recipe == kept


def test_of_several_processes_the_first_makes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    other = create_run(tmp_path / "run", recipe(), resume=False)
    assert not other.folder.exists()
    monkeypatch.setenv("RANK", "0")
    first = create_run(tmp_path / "run", recipe(), resume=False)
    monkeypatch.setenv("RANK", "1")
    assert create_run(tmp_path / "run", recipe(), resume=False) == first == other


def test_a_finished_stage_makes_later_ones_unfinished(tmp_path: Path) -> None:
    run = create_run(tmp_path, recipe(), resume=False)
    for stage in ("calibrate", "train", "pack"):
        run.mark(stage, stage.upper(), later=())
    run.mark("calibrate", "again", later=("train", "pack"))
    assert run.finished() == {"calibrate": "again"}
    run.forget(["calibrate"])
    assert run.finished() == {}


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null"])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    run = create_run(tmp_path, recipe(), resume=False)
    (tmp_path / "stages.json").write_text(text)
    with pytest.raises(UserError, match=r"stages\.json is damaged .*delete it"):
        run.finished()


def test_the_newest_ternary_model_is_the_trained_one_if_the_recipe_trains(tmp_path: Path) -> None:
    assert Run(tmp_path, recipe()).ternary == tmp_path / "trained"
    assert Run(tmp_path, recipe(train=None)).ternary == tmp_path / "calibrated"


def test_json_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results" / "table.json"
    write_json(path, {"a": 1})

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_fingerprint_depends_on_values_and_not_on_their_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
