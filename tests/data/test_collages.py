"""Collages: the same for student and teacher, others in each epoch, of the image's parts on plain grounds."""

import statistics
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tclip.data.collages import SIDE, TINTED, WHITE, collage


def noise(width: int = 90, height: int = 60) -> Image.Image:
    """Every pixel another colour, so that what is plain did not come from it."""
    return Image.frombytes("RGB", (width, height), Random(0).randbytes(3 * width * height))


def share_of_the_commonest_color(picture: Image.Image) -> float:
    return max(count for count, _ in picture.getcolors(SIDE * SIDE)) / SIDE**2


@given(
    width=st.integers(1, 300), height=st.integers(1, 300), key=st.text(max_size=4), epoch=st.integers(0, 3)
)
def test_a_collage_can_be_made_of_any_image(width: int, height: int, key: str, epoch: int) -> None:
    image = noise(width, height)
    before = image.tobytes()
    picture = collage(image, key, epoch)
    assert picture.size == (SIDE, SIDE)
    assert picture.mode == "RGB"
    assert image.tobytes() == before, "the image is shared with others"


def test_student_and_teacher_see_the_same_collage_and_each_epoch_another() -> None:
    image = noise()
    assert collage(image, "k", 1).tobytes() == collage(image, "k", 1).tobytes()
    pictures = {collage(image, key, epoch).tobytes() for key in "kl" for epoch in range(20)}
    assert len(pictures) == 40


def test_most_have_a_plain_ground_and_many_a_white_one() -> None:
    pictures = [collage(noise(), str(key), 0) for key in range(200)]
    plain = [picture for picture in pictures if share_of_the_commonest_color(picture) > 0.1]
    assert 0.5 < len(plain) / len(pictures) < 0.95
    white = [max(picture.getcolors(SIDE * SIDE))[1] == (255, 255, 255) for picture in plain]
    assert statistics.mean(white) > WHITE / 2


def test_shapes_are_drawn_and_colors_changed_in_some() -> None:
    """Of a flat image come one colour and the ground's: more, but not a slope's, are those of shapes."""
    flat = [collage(Image.new("RGB", (64, 64), (254, 1, 2)), str(key), 0) for key in range(100)]
    shapes = [4 <= len(picture.getcolors(SIDE * SIDE)) <= 12 for picture in flat]
    assert statistics.mean(shapes) > 0.25
    grey = [is_grey(collage(noise(), str(key), 0)) for key in range(100)]
    assert 0.02 < statistics.mean(grey) < TINTED


def is_grey(picture: Image.Image) -> bool:
    return all(red == green == blue for _, (red, green, blue) in picture.getcolors(SIDE * SIDE))


def test_parts_of_the_image_are_in_most_of_them() -> None:
    """A red image leaves its red: no ground, shape or tint is of just that colour."""
    red = Image.new("RGB", (64, 64), (254, 1, 2))
    seen = [
        (254, 1, 2) in dict(map(reversed, collage(red, str(key), 0).getcolors(SIDE * SIDE)))
        for key in range(100)
    ]
    assert statistics.mean(seen) > 0.5
