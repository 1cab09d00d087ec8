"""Pixels and token ids as open_clip makes them: its steps spelt out with PIL and Python's strings."""

import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import PreTrainedTokenizerFast

from tclip.errors import ModelError
from tclip.models.clip import Clip
from tclip.models.fetch import fetch_config
from tclip.models.load import clip_from, empty_model, load_dense
from tclip.models.open_clip import towers
from tclip.models.open_clip.config import OPENAI_MEAN, OPENAI_STD
from tests.models.open_clip_reference import (
    NATIVE,
    SIGLIP,
    TOKENS,
    TRUNK,
    TRUNK_WIDTHS,
    open_clip_folder,
)

SIDE = 32


@pytest.fixture(autouse=True)
def _tiny_trunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(towers.SIGLIP_TRUNKS, TRUNK, "gelu")
    monkeypatch.setitem(towers.SIGLIP_WIDTHS, "tiny", TRUNK_WIDTHS)


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def without_model(folder: Path, **options: Any) -> Clip:
    """A model without weights, but with tokenizer and image processor."""
    open_clip_folder(folder, **options)
    files = fetch_config(str(folder))
    return clip_from(files, empty_model(files, "meta"))


def cropped(image: Image.Image) -> Image.Image:
    left, top = (image.width - SIDE) // 2, (image.height - SIDE) // 2
    return image.crop((left, top, left + SIDE, top + SIDE))


def shortest(image: Image.Image, resample: int) -> Image.Image:
    short, long = sorted(image.size)
    longer = int(SIDE * long / short)
    size = (SIDE, longer) if image.width <= image.height else (longer, SIDE)
    return cropped(image.resize(size, resample))


def squash(image: Image.Image, resample: int) -> Image.Image:
    return image.resize((SIDE, SIDE), resample)


def longest(image: Image.Image, resample: int) -> Image.Image:
    factor = SIDE / max(image.size)
    return cropped(image.resize((round(image.width * factor), round(image.height * factor)), resample))


@pytest.mark.parametrize(("interpolation", "resample"), [("bicubic", 3), ("bilinear", 2), ("random", 3)])
@pytest.mark.parametrize("resize", [shortest, squash, longest])
@pytest.mark.parametrize("size", [(64, 64), (128, 96), (96, 160)])
def test_pixels(
    tmp_path: Path, resize: Any, interpolation: str, resample: int, size: tuple[int, int]
) -> None:
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    options = {"resize_mode": resize.__name__, "interpolation": interpolation, "mean": mean, "std": std}
    clip = without_model(tmp_path, preprocess=options)
    expected_HWC = (np.asarray(resize(picture(*size), resample)) / 255 - mean) / std
    ours_HWC = clip.preprocess([picture(*size)])["pixel_values"][0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours_HWC, expected_HWC, atol=1e-6)


def test_what_is_not_said_is_openais(tmp_path: Path) -> None:
    processor = without_model(tmp_path, preprocess={"mean": None}).image_processor
    assert (list(processor.image_mean), list(processor.image_std)) == (OPENAI_MEAN, OPENAI_STD)
    assert (processor.resample, processor.do_center_crop) == (3, True)


def test_one_number_is_for_all_channels(tmp_path: Path) -> None:
    processor = without_model(tmp_path, preprocess={"mean": 0.5, "std": 1}).image_processor
    assert (list(processor.image_mean), list(processor.image_std)) == ([0.5] * 3, [1.0] * 3)


def canonical(text: str) -> str:
    text = text.replace("_", " ").translate(str.maketrans("", "", string.punctuation)).lower()
    return " ".join(text.split())


CLEANINGS = {
    "canonicalize": canonical,
    "lower": lambda text: " ".join(text.split()).lower(),
    "whitespace": lambda text: " ".join(text.split()),
    "whitespace_underscore": lambda text: " ".join(text.replace("_", " ").split()),
}


@pytest.fixture(scope="module", params=CLEANINGS)
def cleaned(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Clip, Any, Any]:
    """A SigLIP's inputs, its vocabulary without any cleaning, and the cleaning in Python."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(towers.SIGLIP_TRUNKS, TRUNK, "gelu")
        patch.setitem(towers.SIGLIP_WIDTHS, "tiny", TRUNK_WIDTHS)
        changes = {"text_cfg.tokenizer_kwargs": {"clean": request.param}}
        clip = without_model(folder, base=SIGLIP, changes=changes)
    return clip, PreTrainedTokenizerFast.from_pretrained(folder), CLEANINGS[request.param]


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from("aAbcdogBALLtwo _-.,!?'\"[]{}\t\n ÀéßΣ猫"), max_size=40))
def test_texts_are_cleaned_as_by_open_clip(cleaned: tuple[Clip, Any, Any], text: str) -> None:
    clip, plain, clean = cleaned
    ours = clip.tokenize([text])["input_ids"]
    theirs = plain([clean(text)], padding="max_length", truncation=True, max_length=TOKENS)["input_ids"]
    assert ours.tolist() == theirs


def test_the_context_is_the_configs(tmp_path: Path) -> None:
    clip = without_model(tmp_path, changes={"text_cfg.context_length": 9})
    assert clip.tokenizer.model_max_length == 9
    ids = clip.tokenizer(["dog " * 30], truncation=True)["input_ids"][0]
    assert (len(ids), ids[-1]) == (9, clip.tokenizer.eos_token_id)


def test_a_given_context_is_not_bound_by_the_tokenizers_own(tmp_path: Path) -> None:
    assert without_model(tmp_path, changes={"text_cfg.context_length": 40}).tokenizer.model_max_length == 40


@pytest.mark.parametrize(
    ("base", "sentence"),
    [
        (
            NATIVE,
            r"put tokenizer\.json or merges\.txt and vocab\.json with .* of openai/clip-vit-large-patch14",
        ),
        (SIGLIP, r"put tokenizer\.json with tokenizer_config\.json of org/words into a folder"),
    ],
    ids=["clip", "siglip"],
)
def test_a_missing_vocabulary(tmp_path: Path, base: dict[str, Any], sentence: str) -> None:
    open_clip_folder(tmp_path, base)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=f"{tmp_path} has no tokenizer files: {sentence}"):
        load_dense(str(tmp_path))


def test_vocab_and_merges_will_do_for_clip(tmp_path: Path) -> None:
    clip = without_model(tmp_path)
    ids = clip.tokenize(["two red dogs"])["input_ids"]
    clip.tokenizer.backend_tokenizer.model.save(str(tmp_path))
    (tmp_path / "tokenizer.json").unlink()
    assert load_dense(str(tmp_path)).tokenize(["Two  RED dogs"])["input_ids"].tolist() == ids.tolist()


def test_anothers_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"does not fit the model \(its end or padding token is \d+, of 99 emb"
    ):
        without_model(tmp_path, changes={"text_cfg.vocab_size": 99})
