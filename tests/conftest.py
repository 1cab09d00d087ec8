"""What tests of every folder share."""

import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What torch draws in a test does not depend on which tests ran before in the same process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the cache of who runs it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TCLIP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the checkout with the reference CLIP and photographs."""
    if not SHARED.is_dir():
        pytest.skip("there is no folder ../shared")
    return SHARED


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """tiny_folder(family) makes a tiny model's folder once a session; it must not be changed."""
    from tests.tiny import tiny_clip_folder

    @lru_cache
    def make(family: str = "clip") -> Path:
        return tiny_clip_folder(tmp_path_factory.mktemp(family), family)

    return make
