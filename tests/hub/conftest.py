"""What tests of the Hub share; tests/cli/test_push.py takes the same fixtures."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tclip.run import Run, open_run
from tests.hub.making import BASE, connected, write_base, write_run
from tests.hub_server import HubServer


@pytest.fixture(scope="session")
def base(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The original, licensed under mit; it must not be changed."""
    return write_base(tiny_folder("clip"), tmp_path_factory.mktemp("base") / "clip")


@pytest.fixture(scope="session")
def whole_run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went through every stage; it must not be changed."""
    return write_run(tmp_path_factory.mktemp("whole"), base)


@pytest.fixture
def run(whole_run: Path, tmp_path: Path) -> Run:
    """A run of the test's own."""
    return open_run(Path(shutil.copytree(whole_run, tmp_path / "runs" / "run")))


@pytest.fixture
def hub(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub that has the original, and nobody is logged in."""
    yield from connected(HubServer(models={BASE: base}), monkeypatch, tmp_path / "cache")
