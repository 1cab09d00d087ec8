"""The whole report, on runs that have come more or less far."""

import base64
import shutil
from pathlib import Path

import pytest

from tclip.errors import UserError
from tclip.progress import Collected
from tclip.recipe.schema import Model, Recipe
from tclip.recipe.write import write_recipe
from tclip.report import plots, report
from tclip.report.report import write_report
from tclip.run import Run, open_run
from tests.report.conftest import FINISHED


@pytest.fixture(scope="module")
def written(made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Collected]:
    """A whole report; nothing may change it."""
    run, progress = open_run(shutil.copytree(made, tmp_path_factory.mktemp("whole") / "run")), Collected()
    draw = plots._png
    with pytest.MonkeyPatch.context() as patched:  # one theme is enough, drawing is what takes time
        patched.setattr(plots, "_png", lambda *it: draw(*it) if it[-1] is plots.LIGHT else b"dark")
        write_report(run, FINISHED, progress, num_queries=2)
    return run, progress


def test_a_whole_run_has_every_section(written: tuple[Run, Collected]) -> None:
    run, progress = written
    page = (run.report / "report.html").read_text()
    for key in ("scores", "size", "public", "layers", "training", "queries-seen", "queries-zoo"):
        assert f'<h2 id="{key}">' in page
    assert 'id="absent"' not in page and 'id="state"' not in page
    assert progress.notes == []
    assert str(run.folder) not in page and str(run.recipe.model.id) not in page  # it may be shown to others


def test_the_pictures_lie_beside_the_page(written: tuple[Run, Collected]) -> None:
    run, progress = written
    page = (run.report / "report.html").read_text()
    plots = [
        f"{name}{theme}.png"
        for name in ("layers", "public", "scores", "size", "training")
        for theme in ("-dark", "")
    ]
    assert {path.name for path in run.report.iterdir()} == {
        *("report.html", "queries-seen.png", "queries-zoo.png", *plots)
    }
    for name in plots:
        assert base64.b64encode((run.report / name).read_bytes()).decode() in page
    assert progress.tables[-1].rows[0][0] == str(run.report / "report.html")


@pytest.mark.usefixtures("undrawn")
def test_a_bare_run_has_a_page_that_says_what_to_run(tmp_path: Path) -> None:
    write_recipe(Recipe(schema=1, model=Model(id="owner/clip"), train=None), tmp_path / "recipe.yaml")
    progress = Collected()
    page = write_report(open_run(tmp_path), FINISHED, progress).read_text()
    assert "owner/clip as a ternary CLIP" in page
    assert page.count("<code>tclip pack RUN</code>") == 4
    assert "<code>tclip calibrate RUN</code>" in page
    assert len(progress.notes) == 6
    assert f"left out, Size: the run is not packed: `tclip pack {tmp_path}`" in progress.notes


@pytest.mark.usefixtures("undrawn")
def test_what_is_out_of_date_is_told_on_the_page_and_by_the_command(run: Run) -> None:
    progress = Collected()
    page = write_report(run, FINISHED | {"pack": "missing"}, progress, num_queries=0).read_text()
    why = "not finished, or made before an earlier stage was run again. Run tclip pack"
    assert f"RUN/packed, the packed model: {why} RUN." in page
    assert page.index('id="state"') < page.index('id="scores"')
    assert progress.notes[0] == f"{run.packed}, the packed model: {why} {run.folder}."


@pytest.mark.usefixtures("undrawn")
def test_an_original_that_is_gone_leaves_out_the_queries_alone(run: Run) -> None:
    moved = Run(run.folder, run.recipe.model_copy(update={"model": Model(id=str(run.folder / "moved"))}))
    progress = Collected()
    page = write_report(moved, FINISHED, progress).read_text()
    assert '<h2 id="scores">' in page and "queries-seen" not in page
    (note,) = progress.notes
    assert "the original model is not on this machine" in note


@pytest.mark.usefixtures("undrawn")
def test_data_that_are_gone_leave_out_the_queries_alone(run: Run) -> None:
    eval = run.recipe.eval.model_copy(update={"data": (str(run.folder / "gone"),)})
    progress = Collected()
    write_report(Run(run.folder, run.recipe.model_copy(update={"eval": eval})), FINISHED, progress)
    (note,) = progress.notes
    assert note.startswith("left out, What both models find:") and "gone" in note


@pytest.mark.usefixtures("undrawn")
def test_no_queries_means_no_model_is_loaded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "findings_section", lambda *_, **__: pytest.fail("models were looked at"))
    progress = Collected()
    write_report(run, FINISHED, progress, num_queries=0)
    assert "no queries were asked for" in progress.notes[0]


@pytest.mark.usefixtures("undrawn")
def test_a_report_takes_the_place_of_the_last_one_only_when_whole(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.report.mkdir()
    (run.report / "old.png").write_bytes(b"old")

    def fail(page: object) -> str:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="disk is full"):
        patched.setattr(report, "render", fail)
        write_report(run, FINISHED, Collected(), num_queries=0)
    assert [path.name for path in run.report.iterdir()] == ["old.png"]
    write_report(run, FINISHED, Collected(), num_queries=0)
    assert not (run.report / "old.png").exists() and (run.report / "report.html").exists()


def test_without_the_packages_nothing_is_begun(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs matplotlib and jinja2: pip install 'tclip\[report\]'"):
        write_report(run, FINISHED, Collected())
    assert not run.report.exists()
