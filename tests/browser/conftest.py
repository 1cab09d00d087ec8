"""What tests of the page share: the tools, and one page of a tiny model."""

import io
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tclip.errors import UserError
from tclip.export.npm import library_files
from tclip.export.web import export_web
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.progress import Collected
from tests.browser.driving import Tools, find_tools, served
from tests.ternarizing import ternarized


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Node, Chromium and the packages of npm; without them the test is skipped."""
    found = find_tools()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="session")
def libraries(tools: Tools) -> dict[str, bytes]:
    """The libraries of the page, as a user's export gets them: by npm, once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TCLIP_CACHE", str(tools.folder))
        try:
            return library_files(None, Collected())
        except UserError as error:
            pytest.skip(str(error))


@pytest.fixture(scope="session")
def page(
    tiny_folder: Callable[[str], Path],
    libraries: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., tuple[Clip, Path]]:
    """page(family, activations) makes a tiny model and its page once a session; do not change them."""

    @lru_cache
    def clip_of(family: str) -> Clip:
        return ternarized(load_dense(str(tiny_folder(family))))

    @lru_cache
    def make(family: str = "clip", activations: str = "float") -> tuple[Clip, Path]:
        folder = tmp_path_factory.mktemp("site") / "some" / "folder"
        export_web(clip_of(family), folder, libraries, activations)
        return clip_of(family), folder

    return make


@pytest.fixture
def address(page: Callable[..., tuple[Clip, Path]]) -> Iterator[str]:
    """Where the tiny CLIP's page is served: below the root of its server."""
    _, folder = page()
    with served(folder.parents[1]) as root:
        yield f"{root}some/folder/"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """PNG files of many shapes and kinds, whose pixels every decoder reads alike."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    sizes = [(32, 32), (200, 40), (40, 300), (31, 33), (90, 64), (10, 25), (333, 500), (64, 65)]
    for number, (height, width) in enumerate(sizes):
        # coarse blocks, so that pictures differ in more than noise
        blocks = Image.fromarray(random.integers(0, 256, (3, 4, 3), dtype=np.uint8), "RGB")
        picture = blocks.resize((width, height), Image.Resampling.NEAREST)
        noise = random.integers(-30, 30, (height, width, 3))
        picture = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8), "RGB")
        kind = {1: "L", 3: "P"}.get(number, "RGB")
        picture.convert(kind).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def encoded(picture: Image.Image, **options: object) -> bytes:
    """A picture as a file's bytes."""
    out = io.BytesIO()
    picture.save(out, **options)  # type: ignore[arg-type]
    return out.getvalue()
