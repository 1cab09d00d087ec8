"""The stage on a run folder: files that fail the gate never reach it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tclip.errors import DataError, ParityError
from tclip.export import onnx as writer
from tclip.export import stage
from tclip.export.onnx import IMAGE_FILE, TEXT_FILE
from tclip.export.session import OnnxClip
from tclip.packed.write import write_packed
from tclip.progress import Collected
from tclip.recipe.schema import Data, Export, Onnx, Recipe
from tclip.run import Run
from tests.export.conftest import Exported


@pytest.fixture
def run(
    exported: Callable[[str], Exported],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    images: list[Image.Image],
    texts: list[str],
) -> Run:
    """A run that is packed and has a table of pairs; its model has been traced before."""
    rows = ["filepath,caption"]
    for index, (image, text) in enumerate(zip(images, texts, strict=True)):
        image.save(tmp_path / f"{index}.png")
        rows.append(f"{index}.png,{text}")
    (tmp_path / "captions.csv").write_text("\n".join(rows))
    recipe = Recipe(
        schema=1,
        data=Data(train=(str(tmp_path / "captions.csv"),)),
        export=Export(onnx=Onnx(activations="float", samples=5)),
    )
    run = Run(tmp_path / "run", recipe)
    write_packed(exported("clip").clip, run.packed, "float16")
    monkeypatch.setattr(writer, "trace_towers", lambda clip: exported("clip").traced)
    return run


def test_files_report_and_tables(run: Run) -> None:
    progress = Collected()
    stage.export(run, progress)
    assert OnnxClip(run.onnx, threads=1).embed_texts(["a dog"]).shape == (1, 24)
    report = json.loads((run.results / "onnx.json").read_text())
    assert report["num_images"] == 5
    assert report["image"]["mean_cosine"] == pytest.approx(1, abs=1e-5)
    files, parity = progress.tables
    assert [row[0] for row in files.rows] == [IMAGE_FILE, TEXT_FILE]
    assert parity.title.endswith("on 5 images and 5 texts: same text first for 100.0% of the images")
    assert not run.onnx.with_name("onnx.rejected").exists()


def test_a_label_that_all_images_share_is_no_reason_to_refuse(run: Run, tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text(
        "filepath,caption\n" + "".join(f"{i}.png,a cat\n" for i in range(5))
    )
    progress = Collected()
    stage.export(run, progress)
    assert json.loads((run.results / "onnx.json").read_text())["agreement"] is None
    assert progress.tables[-1].title == (
        "ONNX against torch on 5 images and one text, which leaves nothing to rank"
    )


def test_photographs_to_compare_on_are_held_smaller(run: Run, tmp_path: Path) -> None:
    for index, size in enumerate([(3000, 40), (1024, 1024), (30, 2048)]):
        Image.new("RGB", size).save(tmp_path / f"{index}.png")
    images, texts = stage.comparison_pairs(run.recipe, 99, None)
    sizes = [image.size for image in images]
    assert {(1024, 14), (1024, 1024), (15, 1024)} < set(sizes), "the longer side has 1,024 pixels"
    assert max(max(size) for size in sizes) == 1024 and len(texts) == len(images)


def test_forms_are_compared_on_pictures_without_captions(
    run: Run, tmp_path: Path, exported: Callable[[str], Exported]
) -> None:
    (tmp_path / "captions.csv").unlink()
    data = Data(train=(str(tmp_path),), captions="words")
    recipe = run.recipe.model_copy(update={"data": data})
    images, texts = stage.comparison_pairs(recipe, 4, exported("clip").clip.tokenizer)
    assert len(images) == len(texts) == 4
    assert all(texts)


def test_rejected_files_stay_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.onnx.mkdir(parents=True)
    (run.onnx / IMAGE_FILE).write_text("the good one")

    def fail(*args: Any) -> Any:
        raise ParityError("image_encoder.onnx parts.")

    monkeypatch.setattr(stage, "check_parity", fail)
    with pytest.raises(ParityError, match=r"parts\. The files are in .*onnx\.rejected\."):
        stage.export(run, Collected())
    assert [path.name for path in run.onnx.iterdir()] == [IMAGE_FILE]
    assert (run.onnx / IMAGE_FILE).read_text() == "the good one"
    assert (run.onnx.with_name("onnx.rejected") / IMAGE_FILE).is_file()


def test_recipe_without_onnx_writes_nothing(run: Run) -> None:
    recipe = run.recipe.model_copy(update={"export": Export(onnx=None)})
    progress = Collected()
    stage.export(Run(run.folder, recipe), progress)
    assert not run.onnx.exists()
    assert progress.notes


def test_no_data_to_compare_on(run: Run) -> None:
    recipe = run.recipe.model_copy(update={"data": Data()})
    with pytest.raises(DataError, match="to compare the exported files on"):
        stage.export(Run(run.folder, recipe), Collected())
