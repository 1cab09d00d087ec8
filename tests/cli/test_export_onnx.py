"""`tclip export onnx`: its options change the run's recipe, which goes on saying what was run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tclip.recipe.schema import Export, Recipe
from tclip.recipe.write import write_recipe
from tclip.run import Run
from tests.cli.conftest import Outcome


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder whose recipe exports nothing."""
    write_recipe(Recipe(schema=1, export=Export(onnx=None)), tmp_path / "recipe.yaml")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "key", "value"),
    [
        (("--format", "nbits"), "format", "nbits"),
        (("--activations", "float"), "activations", "float"),
        (("--pixels", "uint8"), "pixels", "uint8"),
        (("--joint",), "joint", True),
        (("--set", "export.onnx.samples=7"), "samples", 7),
    ],
)
def test_options_reach_the_recipe_that_is_run(
    arguments: tuple[str, ...],
    key: str,
    value: object,
    run: Path,
    tclip: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[Run, str]] = []
    monkeypatch.setattr("tclip.pipeline.run_stage", lambda *told, **_: asked.append(told[:2]))
    monkeypatch.setattr("tclip.recipe.preflight._problems", lambda recipe: iter(()))
    assert tclip("export", "onnx", str(run), *arguments).code == 0
    ((opened, stage),) = asked
    assert (opened.folder, stage) == (run, "export")
    changed = opened.recipe.export.onnx
    assert changed is not None and getattr(changed, key) == value
    defaults = Export().onnx
    others = {name for name in type(changed).model_fields if name != key}
    assert all(getattr(changed, name) == getattr(defaults, name) for name in others)


def test_a_format_that_is_not_known(run: Path, tclip: Callable[..., Outcome]) -> None:
    outcome = tclip("export", "onnx", str(run), "--format", "nbit")
    assert outcome.code == 2
    assert 'Did you mean "nbits"?' in outcome.err
