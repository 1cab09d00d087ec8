"""Forms of a run beside its packed model: those that agree pass, those that do not are named."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tclip.errors import ModelError, ParityError, UserError
from tclip.evaluate.encoder import ClipEncoder
from tclip.export.onnx import WrittenFile
from tclip.export.session import OnnxClip
from tclip.models.clip import Clip
from tclip.packed.load import load_packed
from tclip.packed.replace import written_whole
from tclip.packed.write import write_packed
from tclip.progress import Collected
from tclip.recipe.schema import Onnx
from tclip.run import Run
from tclip.verify import forms as forms_module
from tclip.verify.agreement import Limits
from tclip.verify.forms import FORMS, Form, forms_in, onnx_form
from tclip.verify.gate import export_onnx_beside, export_verified
from tclip.verify.verify import verify
from tests.verify.conftest import TEXTS


class Stranger:
    """An encoder whose answers have nothing to do with the model."""

    def embed_images(self, images: list) -> np.ndarray:
        return np.eye(24, dtype=np.float32)[: len(images)]

    def embed_texts(self, texts: list) -> np.ndarray:
        return np.eye(24, dtype=np.float32)[: len(texts)]


def test_what_a_run_holds_agrees(run: Run) -> None:
    progress = Collected()
    assert forms_in(run) == ["calibrated", "packed", "runtime", "transformers"]
    found = verify(run, [], len(TEXTS), progress)
    assert found["packed"].image_worst == pytest.approx(1, abs=1e-6)
    assert found["calibrated"].text_worst > 0.9999
    assert found["runtime"].image_worst > 0.999
    assert found["transformers"].text_worst == pytest.approx(1, abs=1e-5)
    (table,) = progress.tables
    assert [row[0] for row in table.rows] == list(found)
    assert table.rows[1][1] == round((run.packed / "model.safetensors").stat().st_size / 1e6, 2)
    assert json.loads((run.results / "verify.json").read_text()) == json.loads(json.dumps(table.to_dict()))


@pytest.mark.parametrize(
    ("labels", "told", "same"),
    [
        (["a cat", "a dog"], "4 images and 2 texts", "100.0%"),
        (["a cat", "A cat"], "4 images and one text, which leaves nothing to rank", None),
    ],
)
def test_captions_that_repeat_count_once(
    run: Run, tmp_path: Path, labels: list[str], told: str, same: str | None
) -> None:
    folder = Path(run.recipe.data.train[0]).parent
    rows = [f"{folder / f'{index}.png'},{labels[index % 2]}\n" for index in range(4)]
    (tmp_path / "labels.csv").write_text("filepath,caption\n" + "".join(rows))
    data = run.recipe.data.model_copy(update={"train": (str(tmp_path / "labels.csv"),)})
    progress = Collected()
    verify(Run(run.folder, run.recipe.model_copy(update={"data": data})), ["packed"], 4, progress)
    (table,) = progress.tables
    assert table.title == f"Cosine to {run.packed} on {told}"
    assert [row[6] for row in table.rows] == [same]


def test_another_model_is_named_after_the_table_is_shown(run: Run) -> None:
    clip = load_packed(run.calibrated)
    with torch.no_grad():
        for parameter in clip.model.parameters():
            parameter.copy_(parameter.flip(0) if parameter.ndim else parameter)
    clip.ternary = {
        name: type(each)(each.codes.flip(0), each.scale_RG.flip(0)) for name, each in clip.ternary.items()
    }
    write_packed(clip, run.calibrated, "float32")
    progress = Collected()
    with pytest.raises(ParityError, match=r"calibrated: the mean cosine of images is .* \(at least 0\.998\)"):
        verify(run, [], len(TEXTS), progress)
    assert len(progress.tables) == 1


def test_the_model_before_training_is_no_form_of_a_trained_run(run: Run) -> None:
    from tclip.recipe.schema import Train

    trained = Run(run.folder, run.recipe.model_copy(update={"train": Train(steps=1)}))
    assert "calibrated" not in forms_in(trained)


def test_forms_that_are_unknown_or_missing_are_named(run: Run) -> None:
    with pytest.raises(ModelError, match=r'Unknown form "onx"\. Did you mean "onnx"'):
        verify(run, ["onx"], 2, Collected())
    run.packed.rename(run.folder / "elsewhere")
    with pytest.raises(UserError, match="is not packed yet: run `tclip pack"):
        verify(run, [], 2, Collected())
    (run.folder / "elsewhere").rename(run.packed)
    with pytest.raises(
        ModelError, match=r"has no onnx, trained: write it with `tclip export onnx .*`tclip train"
    ):
        verify(run, ["onnx", "trained"], 2, Collected())


def test_a_form_reaches_its_place_only_if_it_agrees(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Form(
        "copy", "*.bin", lambda folder, packed: ClipEncoder(load_packed(packed)), forms_module._exact, ""
    )
    bad = Form("copy", "*.bin", lambda folder, packed: Stranger(), lambda run: Limits(0.9, 0.9), "")

    def write(content: str):
        def export(clip: Clip, folder: Path) -> list[WrittenFile]:
            with written_whole(folder) as staging:
                (staging / "a.bin").write_text(content)
            return [WrittenFile(folder / "a.bin", len(content))]

        return export

    progress = Collected()
    monkeypatch.setitem(FORMS, "copy", good)
    export_verified(run, "copy", write("first"), progress, len(TEXTS))
    monkeypatch.setitem(FORMS, "copy", bad)
    with pytest.raises(ParityError, match=r"copy\.rejected"):
        export_verified(run, "copy", write("second"), progress, len(TEXTS))
    assert (run.folder / "copy" / "a.bin").read_text() == "first"
    assert (run.folder / "copy.rejected" / "a.bin").read_text() == "second"
    monkeypatch.setitem(FORMS, "copy", good)
    export_verified(run, "copy", write("third"), progress, len(TEXTS))
    assert (run.folder / "copy" / "a.bin").read_text() == "third"
    assert not (run.folder / "copy.rejected").exists()
    assert [table.rows[0][0] for table in progress.tables] == ["a.bin", "copy"] * 2


def test_onnx_files_of_other_settings_lie_beside_and_leave_the_recipe(run: Run) -> None:
    recipe = (run.folder / "recipe.yaml").read_text()
    progress = Collected()
    export_onnx_beside(run, ["export.onnx.activations=float"], progress)
    assert (run.folder / "recipe.yaml").read_text() == recipe
    assert not run.onnx.exists()
    assert progress.tables[-1].rows[0][0] == "onnx-float"
    assert "onnx-float" in forms_in(run)
    assert OnnxClip(run.folder / "onnx-float").embed_texts(["a"]).shape == (1, 24)


def test_each_kind_of_onnx_files_has_a_form() -> None:
    kinds = [
        Onnx(),
        Onnx(activations="float"),
        Onnx(format="nbits"),
        Onnx(format="nbits", activations="float"),
    ]
    names = [onnx_form(kind) for kind in kinds]
    assert names == ["onnx-int8", "onnx-float", "onnx-nbits", "onnx-nbits"]
    assert set(names) < set(FORMS)
