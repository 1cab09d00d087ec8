"""A ternary tiny CLIP, and the packed folder made of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tests.ternarizing import MIXED_BITS, ternarized


@pytest.fixture(scope="session")
def ternary_clip(tiny_folder: Callable[[str], Path]) -> Clip:
    """It must not be changed."""
    return ternarized(load_dense(str(tiny_folder("clip"))))


@pytest.fixture(scope="session")
def mixed_clip(tiny_folder: Callable[[str], Path]) -> Clip:
    """One of whose weights a few keep 4 or 8 bits; it must not be changed."""
    return ternarized(load_dense(str(tiny_folder("clip"))), bits=MIXED_BITS)


@pytest.fixture(scope="session")
def _packed_once(ternary_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "clip"
    write_packed(ternary_clip, folder)
    return folder


@pytest.fixture
def packed(_packed_once: Path, tmp_path: Path) -> Path:
    """A packed folder of the test's own."""
    return Path(shutil.copytree(_packed_once, tmp_path / "packed"))
