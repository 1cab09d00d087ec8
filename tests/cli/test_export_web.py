"""`tclip export web`: what it asks of the exporter, and what it says when it cannot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tclip.recipe.schema import Recipe
from tclip.recipe.write import write_recipe
from tests.cli.conftest import Outcome


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder without a model."""
    write_recipe(Recipe(schema=1), tmp_path / "recipe.yaml")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((), (None, "int8")), (("--packages", "lib", "--activations", "float"), (Path("lib"), "float"))],
)
def test_options_reach_the_exporter(
    arguments: tuple[str, ...],
    expected: tuple[Any, ...],
    run: Path,
    tclip: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr("tclip.export.web.web_export", lambda *told: told[:2])
    monkeypatch.setattr("tclip.pipeline.check_ready", lambda run, name: None)
    monkeypatch.setattr("tclip.verify.gate.export_verified", lambda *told: asked.append(told[:3]))
    assert tclip("export", "web", str(run), *arguments).code == 0
    ((opened, form, export),) = asked
    assert (opened.folder, form, export) == (run, "web", expected)


def test_a_run_that_is_not_packed_is_one_sentence(run: Path, tclip: Callable[..., Outcome]) -> None:
    outcome = tclip("export", "web", str(run))
    assert outcome.code == 2
    why = "is not ready for export, calibrate is missing"
    assert outcome.err == f"tclip: {run} {why}: run `tclip calibrate {run}` first.\n"


def test_no_run_is_one_sentence(tmp_path: Path, tclip: Callable[..., Outcome]) -> None:
    outcome = tclip("export", "web", str(tmp_path / "none"))
    assert outcome.code == 2
    assert "is no run folder" in outcome.err
