"""One calibrated tiny CLIP and one caption table for all tests of training."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.distill.making import recipe, write_pairs


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCLIP_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A caption table with pictures."""
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="session")
def calibrated(
    tiny_folder: Callable[[str], Path], pairs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """RUN/calibrated of the tiny CLIP, by rounding; it must not be changed."""
    from tclip.calibrate.stage import calibrate
    from tclip.progress import Collected
    from tclip.run import Run

    run = Run(tmp_path_factory.mktemp("calibrated"), recipe(tiny_folder("clip"), pairs))
    calibrate(run, Collected())
    return run.calibrated
