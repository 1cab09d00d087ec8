"""The table at the end: what was measured, then bytes of real files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tclip.errors import DataError, ModelError
from tclip.evaluate.record import Record
from tclip.evaluate.stage import evaluate_run
from tclip.evaluate.subject import forms_of
from tclip.evaluate.table import SIZES, comparison
from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tclip.progress import Collected
from tclip.recipe.schema import Eval, Export, Model, Recipe
from tclip.run import Run
from tests.data.making import class_members, write_layout
from tests.ternarizing import ternarized


@pytest.fixture(scope="module")
def packed_run(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose model is packed; it must not be changed."""
    original = tiny_folder("clip")
    run = Run(tmp_path_factory.mktemp("run"), Recipe(schema=1, model=Model(id=str(original))))
    write_packed(ternarized(load_dense(str(original))), run.packed)
    return run


def with_recipe(run: Run, folder: Path | None = None, **sections: Any) -> Run:
    return Run(folder or run.folder, run.recipe.model_copy(update=sections))


def record(accuracy: float) -> Record:
    return Record(
        dataset="pets",
        model="m",
        pretrained="f",
        task="zeroshot_classification",
        metrics={"acc1": accuracy},
        num_samples=9,
        seconds=0.1,
    )


def by_label(rows: list[list[Any]]) -> dict[str, list[Any]]:
    return {label: values for label, *values in rows}


def pets(folder: Path) -> Path:
    texts = {"classnames": "0\n1\n", "zeroshot_classification_templates": "a {c}\n"}
    return write_layout(folder / "pets", {"test": [class_members([0])]}, **texts)


def test_accuracy_comes_first_and_is_empty_where_nothing_was_measured(packed_run: Run) -> None:
    table = comparison(packed_run, ["pets"], {"packed": {"pets": record(0.9537)}})
    assert table.columns == ["what", "original", "packed"]
    assert table.rows[0] == ["pets top-1, %", None, 95.4]
    assert tuple(row[0] for row in table.rows[1:]) == SIZES


def test_sizes_are_bytes_of_real_files(packed_run: Run) -> None:
    rows = by_label(comparison(packed_run, [], {}).rows)
    original = Path(str(packed_run.recipe.model.id)) / "model.safetensors"
    sizes = [file.stat().st_size for file in (original, packed_run.packed / "model.safetensors")]
    assert rows["weights on disk, MB"] == [round(size / 1e6, 2) for size in sizes]
    assert rows["smaller than the original's file, times"] == [1.0, round(sizes[0] / sizes[1], 1)]
    # the tiny original is float32: the header alone makes the difference
    as_float32, packed = rows["smaller than float32, times"]
    assert 0.9 < as_float32 <= 1 < packed
    assert rows["ternary weights, %"][0] == 0 and rows["ternary weights, %"][1] > 80
    assert 1.6 < rows["bits a ternary weight, with its scales"][1] < 3


def test_an_original_that_is_not_here_leaves_its_cells_empty(packed_run: Run, tmp_path: Path) -> None:
    run = with_recipe(packed_run, model=Model(id=str(tmp_path / "moved")))
    rows = by_label(comparison(run, [], {}).rows)
    assert rows["weights on disk, MB"][0] is None
    assert rows["smaller than the original's file, times"] == [None, None]
    assert rows["smaller than float32, times"][1] > 1


@pytest.fixture
def exported(packed_run: Run, tmp_path: Path) -> Run:
    (tmp_path / "packed").symlink_to(packed_run.packed)
    run = with_recipe(packed_run, tmp_path)
    run.onnx.mkdir()
    for name, size in (("image_encoder", 30_000), ("text_encoder", 20_000), ("clip", 50_000)):
        (run.onnx / f"{name}.onnx").write_bytes(bytes(size))
    run.mark("export", "1", ())
    return run


def test_exported_files_have_a_column_and_the_joint_one_counts_not_twice(exported: Run) -> None:
    table = comparison(exported, [], {})
    assert table.columns == ["what", "original", "packed", "onnx"]
    rows = by_label(table.rows)
    assert rows["weights on disk, MB"][2] == 0.05
    assert rows["zeros among them, %"][1] == rows["zeros among them, %"][2]


def test_the_exported_files_are_measured_where_there_are_any(packed_run: Run, exported: Run) -> None:
    assert forms_of(packed_run) == ("original", "packed")
    assert forms_of(exported) == ("original", "packed", "onnx")
    assert forms_of(with_recipe(exported, export=Export(onnx=None))) == ("original", "packed")
    assert forms_of(with_recipe(exported, eval=Eval(forms=("onnx",)))) == ("onnx",)
    with pytest.raises(ModelError, match="tclip export onnx"):
        forms_of(with_recipe(packed_run, eval=Eval(forms=("packed", "onnx"))))


def test_without_data_the_table_tells_sizes(packed_run: Run) -> None:
    progress = Collected()
    evaluate_run(packed_run, progress)
    assert [row[0] for row in progress.tables[-1].rows] == list(SIZES)


def test_two_data_sets_of_one_name_would_overwrite_each_other(packed_run: Run, tmp_path: Path) -> None:
    sets = [pets(tmp_path / way) for way in "ab"]
    run = with_recipe(packed_run, eval=Eval(data=tuple(map(str, sets))))
    with pytest.raises(DataError, match="several folders called pets"):
        evaluate_run(run, Collected())
