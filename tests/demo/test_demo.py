"""The demo from end to end, cut down: few scenes, few steps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tclip.demo import demo
from tclip.demo.__main__ import main
from tclip.demo.dataset import DemoData
from tclip.demo.demo import demo_recipe, run_demo
from tclip.progress import Collected, Progress, Table
from tclip.recipe.schema import Recipe
from tclip.recipe.write import write_recipe
from tclip.run import Run, create_run

FEW = ("train.minutes=null", "train.steps=2", "train.batch_size=8", "calibrate.pairs=16")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Collected]:
    folder, progress = tmp_path_factory.mktemp("demo"), Collected()
    return run_demo(folder, progress, FEW, num_train=64, num_test=40), progress


@pytest.mark.slow
def test_it_ends_in_the_table_and_the_files(made: tuple[Run, Collected]) -> None:
    run, progress = made
    *_, accuracy, files = progress.tables
    assert accuracy.columns == ["what", "original", "packed", "onnx"]
    assert [row[0] for row in accuracy.rows[:3]] == [
        "scenes text to image R@1, %",
        "scenes image to text R@1, %",
        "shapes top-1, %",
    ]
    assert {Path(row[0]).name for row in files.rows} >= {
        "image_encoder.onnx",
        "text_encoder.onnx",
        "ranking.png",
    }
    assert "R@1 2.5%, top-1 1.6%" in progress.notes[-1]
    with Image.open(run.folder / "ranking.png") as picture:
        assert picture.width > 1000


@pytest.mark.slow
def test_the_ternary_model_is_an_order_smaller_and_still_far_over_chance(
    made: tuple[Run, Collected],
) -> None:
    run, progress = made
    _, original, packed, onnx = progress.tables[-2].rows[0]
    assert original >= packed > 50
    assert onnx == pytest.approx(packed, abs=6)
    assert (run.packed / "model.safetensors").stat().st_size < 0.4e6


def test_a_second_demo_in_the_same_folder_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake_compress(recipe: Recipe, folder: Path, progress: Progress) -> Run:
        run = create_run(folder, recipe, resume=False)
        stale = [path for path in run.folder.iterdir() if path.name not in ("recipe.yaml", "drawn-8-8-0")]
        assert stale == []
        for part in (run.calibrated, run.steps, run.trained, run.packed, run.onnx, run.results):
            part.mkdir()
            (part / "file").write_text("")
        run.mark("eval", "1", ())
        (run.folder / "ranking.png").write_text("")
        return run

    monkeypatch.setattr(demo, "compress", fake_compress)
    monkeypatch.setattr(demo, "draw_ranking", lambda run, _: run.folder / "ranking.png")
    monkeypatch.setattr(demo, "files_table", lambda *_: Table("Files", [], []))
    run_demo(tmp_path, Collected(), num_train=8, num_test=8)
    drawn = (tmp_path / "drawn-8-8-0/scenes/train/0.tar").stat().st_mtime_ns
    run_demo(tmp_path, Collected(), num_train=8, num_test=8)
    assert (tmp_path / "drawn-8-8-0/scenes/train/0.tar").stat().st_mtime_ns == drawn


def test_a_folder_with_another_run_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = demo_recipe(DemoData.below(tmp_path, 8, 8, 0), ["name=mine"])
    write_recipe(recipe, tmp_path / "recipe.yaml")
    assert main([str(tmp_path)]) == 2
    assert "holds a run of recipe mine" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_wrong_override_is_told_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "new"), "--set", "train.minute=1"]) == 2
    assert "minutes" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_ctrl_c_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "write_scenes", interrupted)
    assert main([str(tmp_path)]) == 130
    assert "begins anew" in capsys.readouterr().err


def test_the_module_answers_help_without_heavy_imports(tmp_path: Path) -> None:
    code = "import sys, tclip.demo.__main__; assert not {'torch', 'transformers', 'onnx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ, cwd=tmp_path)
