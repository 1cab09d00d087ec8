"""tclip report, as its users run it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome
from tests.report.conftest import made, undrawn  # noqa: F401  (fixtures)


@pytest.fixture
def run_folder(made: Path, tmp_path: Path) -> Path:  # noqa: F811
    return Path(shutil.copytree(made, tmp_path / "run"))


@pytest.mark.usefixtures("undrawn")
def test_report_writes_the_page_and_names_it(tclip: Callable[..., Outcome], run_folder: Path) -> None:
    done = tclip("report", str(run_folder), "--queries", "2", "--images", "5", "--json", "--quiet")
    assert done.code == 0, done.err
    page = run_folder / "report" / "report.html"
    assert json.loads(done.out)["rows"][0] == [str(page), round(page.stat().st_size / 1e3, 1)]
    assert "the first 5 images of seen" in page.read_text()


def test_a_folder_that_is_no_run_is_refused(tclip: Callable[..., Outcome], tmp_path: Path) -> None:
    done = tclip("report", str(tmp_path))
    assert (done.code, "is no run folder" in done.err, done.out) == (2, True, "")
    assert list(tmp_path.iterdir()) == []
