"""Pixels equal to transformers' to the last bit; what cannot be read is named, all of it at once."""

import io
import json
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tclip.data.pairs import open_pairs
from tclip.errors import DataError, ModelError
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.runtime.images import image_reader
from tests.tiny import IMAGE_SIZE, edit_json

MODES = ["RGB", "L", "1", "P", "RGBA", "LA", "PA", "CMYK", "I", "I;16", "F", "YCbCr", "HSV"]


def picture(height: int, width: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    rgba = Image.fromarray(random.integers(0, 256, (height, width, 4), np.uint8), "RGBA")
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 65536, (height, width)).astype(np.uint16))
    return rgba.convert(mode) if mode in ("RGBA", "LA") else rgba.convert("RGB").convert(mode)


@pytest.fixture(scope="module", params=["clip", "siglip", "metaclip_2"])
def clip(request: pytest.FixtureRequest, tiny_folder: Callable[[str], Path]) -> Clip:
    return load_dense(str(tiny_folder(request.param)))


def assert_equal(clip: Clip, pictures: list[Image.Image]) -> None:
    reader = image_reader(Path(clip.source.id), IMAGE_SIZE)
    expected = clip.preprocess(pictures)["pixel_values"].numpy()
    found = reader(pictures)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 9))
def test_pixels_of_every_size_are_those_of_transformers(
    clip: Clip, height: int, width: int, seed: int
) -> None:
    assert_equal(clip, [picture(height, width, seed=seed)])


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("mode", MODES)
def test_pixels_of_every_mode_are_those_of_transformers(clip: Clip, mode: str) -> None:
    assert_equal(clip, [picture(40, 50, mode), picture(33, 32, mode, seed=1)])


def test_a_palette_with_transparency_becomes_white(clip: Clip) -> None:
    image = picture(40, 40).quantize(16)
    image.info["transparency"] = 3
    assert_equal(clip, [image])


@pytest.mark.parametrize(
    "changes",
    [
        {"resample": 2},
        {"size": {"height": 24, "width": 56}},
        {"size": {"shortest_edge": 20}},
        {"do_resize": False},
        {"do_rescale": False},
        {"do_normalize": False},
        {"rescale_factor": 1 / 128},
    ],
)
def test_what_the_configuration_says_is_done(
    tiny_folder: Callable[[str], Path], tmp_path: Path, changes: dict
) -> None:
    folder = Path(shutil.copytree(tiny_folder("clip"), tmp_path / "model"))
    edit_json(folder / "preprocessor_config.json", **changes)
    assert_equal(load_dense(str(folder)), [picture(70, 41), picture(30, 33)])


def test_paths_bytes_and_images_are_read_alike(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    image, path = picture(40, 50), tmp_path / "a.png"
    image.save(path)
    reader = image_reader(tiny_folder("clip"), IMAGE_SIZE, num_threads=3)
    pixel_BCHW = reader([path, str(path), path.read_bytes(), image])
    assert all(np.array_equal(pixel_CHW, pixel_BCHW[0]) for pixel_CHW in pixel_BCHW)
    assert reader([]).shape[0] == 0


def test_every_picture_that_cannot_be_read_is_named(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    text, good, cut = tmp_path / "notes.jpg", tmp_path / "good.png", tmp_path / "cut.png"
    text.write_text("no picture")
    picture(90, 90).save(good)
    cut.write_bytes(good.read_bytes()[:2000])
    reader = image_reader(tiny_folder("clip"), IMAGE_SIZE, num_threads=2)
    with pytest.raises(DataError) as caught:
        reader([text, good, tmp_path / "missing.png", cut, b"bytes"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert all(name in str(caught.value) for name in ("notes.jpg", "missing.png", "cut.png", "as bytes"))
    each = reader.try_each([text, good])
    assert isinstance(each[0], str) and isinstance(each[1], np.ndarray)


def test_what_would_fill_the_memory_is_refused(tiny_folder: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match="1 x 100000 pixels are too long and thin"):
        image_reader(tiny_folder("clip"), IMAGE_SIZE)([Image.new("RGB", (1, 100_000))])


def test_whatever_a_decoder_raises_is_the_fault_of_the_file(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(40, 40).save(tmp_path / "a.png")

    def fail(*_: object) -> None:
        raise KeyError("of a plugin")

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(DataError, match=r"a\.png: 'of a plugin'"):
        image_reader(tiny_folder("clip"), IMAGE_SIZE)([tmp_path / "a.png"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"do_pad": True}, "do_pad"),
        ({"crop_size": {"height": 30, "width": 32}}, r"makes pictures of \(30, 32\) pixels"),
        ({"do_center_crop": False}, "makes pictures of 32 pixels"),
        ({"size": {"longest_edge": 32}}, "does not say how"),
        ({"image_mean": None}, "does not say how"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    tiny_folder: Callable[[str], Path], tmp_path: Path, changes: dict, message: str
) -> None:
    folder = Path(shutil.copytree(tiny_folder("clip"), tmp_path / "model"))
    edit_json(folder / "preprocessor_config.json", **changes)
    with pytest.raises(ModelError, match=message):
        image_reader(folder, IMAGE_SIZE)


@pytest.mark.parametrize(
    ("text", "message"), [(None, "There is no"), ("{", "not valid JSON"), ("[]", "object")]
)
def test_a_damaged_configuration_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        image_reader(tmp_path, IMAGE_SIZE)


@pytest.mark.shared
def test_pixels_of_photographs_are_those_of_transformers(shared: Path) -> None:
    folder = shared / "models" / "ref-clip"
    encoded = [s.image_bytes for s in islice(open_pairs(str(shared / "data" / "flickr8k"), "test"), 100)]
    expected = load_dense(str(folder)).preprocess([Image.open(io.BytesIO(data)) for data in encoded])
    size = json.loads((folder / "config.json").read_text())["vision_config"]["image_size"]
    assert np.array_equal(image_reader(folder, size, 2)(encoded), expected["pixel_values"].numpy())
