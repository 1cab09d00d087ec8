"""The stage on a run folder with pictures and captions."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from tclip.calibrate.stage import calibrate
from tclip.errors import DataError
from tclip.packed.load import load
from tclip.progress import Collected
from tclip.recipe.quantize import Quantize
from tclip.recipe.schema import Calibrate, Data, Model, Recipe, Train
from tclip.run import Run, create_run, open_run
from tests.calibrate.conftest import picture_of, text_of

EMPTY: Mapping[str, tuple[str, ...]] = {}


def run_with(
    pairs: int, folder: Path, model: Path, more: Mapping[str, tuple[str, ...]] = EMPTY, **sections: object
) -> Run:
    data = folder / "data"
    data.mkdir()
    rows = ["filepath,caption"]
    for index in range(pairs):
        picture_of(index).save(data / f"{index}.png")
        rows.append(f"{index}.png,{text_of(index)}")
    (data / "captions.csv").write_text("\n".join(rows) + "\n")
    recipe = Recipe(
        schema=1,
        model=Model(id=str(model)),
        data=Data(train=(str(data / "captions.csv"),), **more),
        **{"calibrate": Calibrate(pairs=16, batch_size=5), "train": None, **sections},
    )
    return create_run(folder / "run", recipe, resume=False)


def test_leaves_a_model_a_record_and_tables(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    run, progress = run_with(20, tmp_path, tiny_folder("clip")), Collected()
    calibrate(run, progress)
    clip = load(str(open_run(run.folder).calibrated))
    record = json.loads((run.results / "calibration.json").read_text())
    assert set(clip.ternary) == {layer["name"] for layer in record["layers"]}
    assert record["calibrated"]["text"] > record["rounded"]["text"]
    for name, ternary in clip.ternary.items():
        assert torch.equal(clip.model.get_parameter(name), ternary.dense())
    what, layers, cosines = progress.tables
    assert what.title.startswith("What becomes ternary: ")
    assert sum(row[3] for row in layers.rows) == len(clip.ternary)
    assert [row[0] for row in cosines.rows] == ["image", "text"]


def test_rounding_looks_at_no_output_and_shows_no_errors(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    rounding = Calibrate(method="round", refit=False, pairs=4)
    run, progress = run_with(6, tmp_path, tiny_folder("clip"), calibrate=rounding), Collected()
    calibrate(run, progress)
    _, cosines = progress.tables
    assert all(abs(rounded - calibrated) < 1e-6 for _, rounded, calibrated in cosines.rows)


def test_records_the_activations(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    run = run_with(6, tmp_path, tiny_folder("clip"), quantize=Quantize(activations="int8"))
    calibrate(run, Collected())
    assert load(str(run.calibrated)).activations == "int8"


def test_two_pairs_are_enough(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    run = run_with(2, tmp_path, tiny_folder("clip"))
    calibrate(run, Collected())
    assert run.calibrated.is_dir()


def test_too_few_pairs(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    run = run_with(1, tmp_path, tiny_folder("clip"))
    with pytest.raises(DataError, match=r"captions\.csv hold 1 image-text pairs: calibration needs 2"):
        calibrate(run, Collected())
    assert not run.calibrated.exists()


def test_images_and_texts_of_no_pair_are_calibrated_on(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    found = {}
    for name in ("pairs", "extras"):
        folder = tmp_path / name
        (folder / "pictures").mkdir(parents=True)
        for index in range(40, 60):
            picture_of(index).save(folder / "pictures" / f"{index}.png")
        settings = Calibrate(pairs=4, batch_size=5)
        more: Mapping[str, tuple[str, ...]] = EMPTY
        if name == "extras":
            settings = Calibrate(pairs=4, batch_size=5, extra_images=20, extra_texts=20)
            more = {"images": (str(folder / "pictures"),), "texts": ("words",)}
        run = run_with(8, folder, tiny_folder("clip"), more, calibrate=settings)
        calibrate(run, Collected())
        found[name] = load(str(run.calibrated)).ternary
    moved = {
        weight.partition("_model.")[0]
        for weight, tensor in found["pairs"].items()
        if not torch.equal(tensor.codes, found["extras"][weight].codes)
    }
    assert {"vision", "text"} <= moved


@pytest.mark.parametrize(("kind", "said"), [("images", "holds no data"), ("texts", "holds no text")])
def test_what_only_training_wants_is_looked_at_first(
    tiny_folder: Callable[[str], Path], tmp_path: Path, kind: str, said: str
) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "empty.txt").touch()
    named = {"images": str(tmp_path / "nothing"), "texts": str(tmp_path / "empty.txt")}[kind]
    train = Train(steps=2, **{f"extra_{kind}": 4})
    run = run_with(6, tmp_path, tiny_folder("clip"), {kind: (named,)}, train=train)
    progress = Collected()
    with pytest.raises(DataError, match=said):
        calibrate(run, progress)
    assert not progress.tables
