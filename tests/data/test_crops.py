"""Parts of the pairs' images: the same for student and teacher, others in each epoch, of the said sizes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tclip.data import images
from tclip.data.crops import AREA, COARSE, Crops, crop
from tclip.data.decoder import Decoder
from tclip.data.images import image_sources
from tclip.data.loader import take_images
from tclip.data.sample import Sample
from tclip.data.stream import SPARES, Draw, PairStream
from tclip.errors import DataError
from tclip.recipe import local

from .making import Listed, pair_members, picture, write_layout


def gradient(width: int, height: int) -> Image.Image:
    """Red tells the column, green the row."""
    image = Image.new("RGB", (width, height))
    image.putdata([(x * 255 // width, y * 255 // height, 0) for y in range(height) for x in range(width)])
    return image


@given(
    width=st.integers(1, 500), height=st.integers(1, 500), key=st.text(max_size=4), epoch=st.integers(0, 3)
)
def test_a_part_is_square_and_as_large_as_said(width: int, height: int, key: str, epoch: int) -> None:
    part = crop(Image.new("RGB", (width, height)), key, epoch)
    assert part.width == part.height
    largest = math.sqrt(AREA[1] * width * height)
    assert 1 <= part.width <= max(1, min(round(largest), width, height))
    least = math.sqrt(AREA[0]) * min(COARSE, width, height)
    assert part.width >= math.floor(min(least, math.sqrt(AREA[0] * width * height)))


def test_a_part_comes_from_within_the_image_and_moves() -> None:
    image = gradient(128, 128)
    seen = set()
    for epoch in range(40):
        part = crop(image, "one", epoch)
        red = [part.getpixel((x, 0))[0] for x in range(part.width)]
        spread = (max(red) - min(red)) / 255
        assert part.width == pytest.approx(spread * 128, abs=3), "at 128 pixels nothing is made coarser"
        seen.add((part.width, min(red), red[0] > red[-1]))
    assert len(seen) > 35
    assert {turned for *_, turned in seen} == {True, False}


def test_parts_of_large_images_are_sometimes_coarse_and_sometimes_not() -> None:
    widths = [crop(Image.new("RGB", (640, 640)), str(key), 0).width for key in range(200)]
    assert min(widths) < 60
    assert max(widths) > 250


def test_student_and_teacher_see_the_same_part_and_each_epoch_another() -> None:
    image = gradient(64, 48)
    assert crop(image, "k", 1).tobytes() == crop(image, "k", 1).tobytes()
    assert crop(image, "k", 1).tobytes() != crop(image, "k", 2).tobytes()
    assert crop(image, "k", 1).tobytes() != crop(image, "l", 1).tobytes()


def test_the_decoder_crops_what_is_to_be_seen_in_part_alone() -> None:
    sizes: list[tuple[int, int]] = []

    def preprocess(images: list[Image.Image]) -> dict:
        sizes.extend(image.size for image in images)
        return {}

    source = Listed([[Sample(f"k{i}", picture(i, size=(40, 30)), ("a",)) for i in range(12)]])
    decoder = Decoder(preprocess, views=3, min_crop=0.5, seed=0)
    draws = [Draw(7, sample) for shard in Crops(source).shards() for sample in shard]
    decoder[[draws[: 2 + SPARES]]]
    assert sizes == [crop(Image.new("RGB", (40, 30)), f"k{i}", 7).size for i in range(2)]
    assert decoder.view_index(draws[0]) == 7
    assert decoder.view_index(Draw(7, next(iter(source)))) < 3


def test_crops_stand_for_parts_of_all_pairs(tmp_path) -> None:
    for name in ("one", "two"):
        write_layout(tmp_path / name, {"train": [pair_members(range(4))]}, dataset_type="retrieval")
    pairs = [str(tmp_path / "one"), str(tmp_path / "two")]
    sources = image_sources(["crops", pairs[0]], pairs)
    samples = list(PairStream(sources, paired=False).epoch(0))
    assert [sample.cropped for sample in samples].count(True) == 8
    assert len({sample.key for sample in samples}) == 12
    named = {sample.key.startswith("images/crops/") for sample in samples if sample.cropped}
    assert named == {True}, "a part is not taken for its image in the cache, nor in a message"
    plain = image_sources([pairs[0]], pairs)
    assert sources[0].fingerprint() != plain[0].fingerprint()
    whole, parts = take_images(plain, 4), take_images(sources[:1], 4)
    assert max(part.width for part in parts) < min(image.width for image in whole)


def test_crops_of_pairs_that_are_not_there(tmp_path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        image_sources(["crops"], [str(tmp_path / "nowhere")])


def test_the_name_is_no_path_even_beside_a_folder_of_that_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crops").mkdir()
    assert images.CROPS == local.CROPS
    assert not local.is_local("crops")
    assert local.absolute("crops") == "crops"
