import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tclip.data.sample import Sample
from tclip.data.screen import BrokenImageError, Tally, decode, flaw
from tclip.errors import DataError

from .making import broken_inside, picture


def sample(image_bytes, *captions):
    return Sample("key", image_bytes, captions)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_whole_images_of_every_kind_pass(form):
    data = picture(1, form)
    assert flaw(sample(data, "x")) is None
    assert decode(data).mode == "RGB"
    assert flaw(sample(data + b"\0" * 9, "x")) is None


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_truncated_image_passes_only_if_it_decodes(form, share):
    data = picture(1, form, (200, 160))
    cut = data[: int(len(data) * share)]
    try:
        decode(cut)
    except BrokenImageError:
        assert flaw(sample(cut, "x"))
    else:
        assert flaw(sample(cut, "x")) is None


@given(st.binary(max_size=200))
def test_noise_is_broken_and_never_raises_anything_else(data):
    assert flaw(sample(data, "x"))
    assert flaw(sample(b"\xff\xd8\xff" + data, "x"))
    assert flaw(sample(b"\x89PNG\r\n\x1a\n" + data, "x"))


def test_missing_parts_are_named():
    assert flaw(sample(picture(1))) == "no caption"
    assert flaw(sample(b"", "x")) == "no image"
    assert "UnidentifiedImageError" in flaw(sample(b"<html>", "x"))


def test_a_bomb_is_broken(monkeypatch):
    data = picture(1, "PNG", (60, 40))
    assert flaw(sample(data, "x")) is None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60 * 40 - 1)
    assert flaw(sample(data, "x"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "DecompressionBombError" in flaw(sample(data, "x"))


def test_what_ends_well_may_still_not_decode():
    assert flaw(sample(broken_inside(), "x")) is None
    with pytest.raises(BrokenImageError):
        decode(broken_inside())


def test_exif_rotation_is_left_alone():
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(out, "JPEG", exif=exif)
    assert decode(out.getvalue()).size == (20, 10)


def test_palettes_with_transparency_keep_their_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    out = io.BytesIO()
    image.save(out, "PNG", transparency=bytes([0, 128]))
    assert decode(out.getvalue()).tobytes() == bytes([255, 0, 0, 0, 255, 0])


def test_a_few_broken_ones_early_stop_nothing():
    tally = Tally("data")
    for index in range(400):
        if index in (50, 110):  # 2 of 111, and in the end 2 of 400
            tally.bad("k", "r")
        else:
            tally.good()
    tally.close()
    assert (tally.seen, tally.broken) == (400, 2)


def test_many_broken_stop_the_run_at_once():
    tally = Tally("data")
    with pytest.raises(DataError, match=r"data: 100 of 100 samples are broken, more than 1%.*\n  k0: why"):
        for index in range(200):
            tally.bad(f"k{index}", "why")


def test_the_end_is_exact():
    tally = Tally("data")
    tally.seen, tally.broken = 200, 2
    tally.close()
    tally.broken = 3
    with pytest.raises(DataError, match="3 of 200"):
        tally.close()


def test_broken_samples_are_named_and_then_counted(caplog):
    tally = Tally("epoch 0")
    tally.seen = 10_000
    with caplog.at_level(logging.WARNING, "tclip.data"):
        for index in range(30):
            tally.bad(f"key{index}", "why")
        tally.close()
    assert "skipped key0: why" in caplog.text
    assert "key25" not in caplog.text
    assert "epoch 0: skipped 30 of 10030 samples" in caplog.text
