"""Parts of an image: the same for student and teacher, others in each epoch, of the said sizes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tclip.data.crops import AREA, COARSE, crop


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
