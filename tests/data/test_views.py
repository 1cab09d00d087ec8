import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tclip.data.views import _crop, view


@pytest.fixture
def image():
    # Every pixel differs, so two crops that look alike are the same crop.
    picture = Image.new("RGB", (80, 60))
    picture.putdata([(x * 3, y * 4, (x * y) % 256) for y in range(60) for x in range(80)])
    return picture


def pixels(image):
    return image.size, image.tobytes()


def test_one_view_is_the_image_itself(image):
    assert view(image, "k", 0, views=1, seed=0, min_crop=0.5) is image


def test_a_view_depends_on_seed_key_and_index_alone(image):
    def shown(key="k", index=0, seed=0):
        return pixels(view(image, key, index, views=4, seed=seed, min_crop=0.5))

    assert shown() == shown()
    assert len({shown(), shown(key="other"), shown(index=1), shown(seed=1)}) == 4


def test_the_same_crop_whatever_the_number_of_views(image):
    assert pixels(view(image, "k", 1, views=2, seed=0, min_crop=0.5)) == pixels(
        view(image, "k", 1, views=9, seed=0, min_crop=0.5)
    )


def test_about_half_are_flipped():
    wide = Image.new("RGB", (64, 64))
    wide.putdata([(4 * x, 0, 0) for _ in range(64) for x in range(64)])
    falling = 0
    for number in range(200):
        shown = view(wide, str(number), 0, views=2, seed=0, min_crop=0.5)
        falling += shown.getpixel((0, 5))[0] > shown.getpixel((shown.width - 1, 5))[0]
    assert 70 < falling < 130


def test_an_unknown_view_is_a_bug(image):
    with pytest.raises(ValueError, match="view 2 of 2"):
        view(image, "k", 2, views=2, seed=0, min_crop=0.5)


@given(
    width=st.integers(1, 500),
    height=st.integers(1, 500),
    min_crop=st.floats(0.05, 1),
    rng=st.randoms(use_true_random=False),
)
def test_crops_lie_within_the_image_and_its_limits(width, height, min_crop, rng):
    left, top, crop_width, crop_height = _crop(width, height, min_crop, rng)
    assert 0 <= left <= left + crop_width <= width
    assert 0 <= top <= top + crop_height <= height
    assert crop_width > 0 and crop_height > 0
    if min(crop_width, crop_height) > 30:
        assert 0.7 < crop_width / crop_height < 1.42
    if 0.8 < width / height < 1.25 and min(width, height) > 60:
        assert crop_width * crop_height >= 0.95 * min_crop * width * height


@given(st.integers(1, 40), st.integers(1, 40), st.text(max_size=5))
def test_any_image_has_views(width, height, key):
    shown = view(Image.new("RGB", (width, height)), key, 1, views=2, seed=0, min_crop=0.1)
    assert shown.width == shown.height > 0
