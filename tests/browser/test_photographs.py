"""Real photographs, real weights: the page names them as the packed model does."""

from pathlib import Path

import pytest

from tclip.export.web import export_web
from tclip.models.load import load_dense
from tests.browser.driving import Tools
from tests.browser.photographs import compare
from tests.ternarizing import ternarized


@pytest.mark.browser
@pytest.mark.shared
def test_a_hundred_photographs_are_named_alike(
    tools: Tools, libraries: dict[str, bytes], shared: Path, tmp_path: Path
) -> None:
    # rounded without calibration: what it answers is poor, but both must answer it
    clip = ternarized(load_dense(str(shared / "models" / "ref-clip")), preset="ffn")
    export_web(clip, tmp_path / "web", libraries, "float")
    answers = compare(clip, tmp_path / "web", shared / "data" / "clothing", 100, tools)
    assert (answers["compared"], answers["same"]) == (100, 100)
    assert answers["furthest_probability"] < 1e-3
