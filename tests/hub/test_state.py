"""Whether a run may be published, and what of it."""

import os
import shutil

import pytest

from tclip.errors import UserError
from tclip.hub.files import gather
from tclip.hub.state import look_at
from tclip.recipe.schema import Recipe
from tclip.recipe.write import write_recipe
from tclip.run import Run, open_run
from tests.hub.making import with_onnx, with_recipe


def edited(run: Run, **sections: object) -> Run:
    """The run after somebody edited its recipe by hand."""
    document = run.recipe.model_dump(by_alias=True, mode="json")
    changed = {name: {**document[name], **section} for name, section in sections.items()}
    write_recipe(Recipe.model_validate({**document, **changed}), run.folder / "recipe.yaml")
    return open_run(run.folder)


def paths(run: Run) -> list[str]:
    return [file.path for file in gather(run, look_at(run))]


def test_a_finished_run(run: Run) -> None:
    state = look_at(run)
    assert (state.forms, state.measured, state.left_out) == ((), True, ())
    assert look_at(with_onnx(run)).forms == ("onnx",)


def test_a_run_that_is_not_packed(run: Run) -> None:
    run.forget(["pack", "export", "eval"])
    with pytest.raises(UserError, match=r"is not ready for push, pack is missing: run `tclip pack "):
        look_at(run)


def test_a_packed_model_of_another_recipe(run: Run) -> None:
    with pytest.raises(UserError, match="pack was run with other settings: run `tclip pack "):
        look_at(edited(run, pack={"dtype": "float32"}))


def test_all_that_is_of_another_recipe_is_told(run: Run) -> None:
    run = edited(with_onnx(run), export={"onnx": {"activations": "float"}})
    with pytest.raises(UserError, match="stages were run with other settings") as caught:
        look_at(run)
    assert f"\n  export: run `tclip export onnx {run.folder}`" in str(caught.value)
    assert f"\n  eval: run `tclip eval {run.folder}`" in str(caught.value)


def test_without_an_evaluation_it_says_so(run: Run) -> None:
    run.forget(["eval"])
    state = look_at(run)
    assert not state.measured
    assert state.left_out == (
        f"the card says that nothing was measured: `tclip eval {run.folder} --data DIR`",
    )
    assert not [path for path in paths(run) if path.startswith("results/") and path.count("/") == 2]
    assert "results/table.json" not in paths(run)


def test_an_evaluation_without_data_measured_nothing(run: Run) -> None:
    assert not look_at(with_recipe(run, eval={"data": []})).measured


def test_onnx_files_of_an_earlier_model_stay_here(run: Run) -> None:
    run = with_onnx(run)
    run.forget(["export"])
    state = look_at(run)
    assert state.forms == ()
    assert f"`tclip export onnx {run.folder}`" in state.left_out[0]
    assert not [path for path in paths(run) if "onnx" in path]


def test_onnx_files_that_the_recipe_does_not_ask_for_stay_here(run: Run) -> None:
    assert look_at(with_recipe(with_onnx(run), export={"onnx": None})).forms == ()


def test_gguf_files(run: Run) -> None:
    gguf = run.folder / "gguf" / "clip.gguf"
    gguf.parent.mkdir()
    gguf.write_bytes(b"GGUF")
    assert look_at(run).forms == ("gguf",)
    assert "gguf/clip.gguf" in paths(run)
    then = (run.packed / "model.safetensors").stat().st_mtime - 1
    os.utime(gguf, (then, then))
    state = look_at(run)
    assert state.forms == ()
    assert (
        f"gguf/ is left out, it is not of this packed model: `tclip export gguf {run.folder}`"
        in state.left_out
    )


def test_a_folder_that_is_no_run(tmp_path, run: Run) -> None:
    shutil.rmtree(run.packed)
    run.forget(["calibrate", "pack", "export", "eval"])
    with pytest.raises(UserError, match="calibrate is missing"):
        look_at(run)
