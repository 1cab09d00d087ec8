"""Loading: packed folders and dense ones by the same call, and what config.json must say."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tclip
from tclip.errors import FormatError
from tclip.models.clip import Clip
from tclip.packed.load import load, load_packed
from tests.tiny import edit_json


@torch.no_grad()
def test_the_packed_model_answers_as_the_one_that_was_packed(packed: Path, ternary_clip: Clip) -> None:
    clip = tclip.load(packed)
    texts = clip.tokenize(["a red cat", "two dogs"])
    cosine = torch.nn.functional.cosine_similarity(clip.embed_texts(texts), ternary_clip.embed_texts(texts))
    assert cosine.min() > 0.9999  # scales and floats were rounded to 16 bits
    for name, tensor in clip.ternary.items():
        assert torch.equal(clip.model.get_parameter(name), tensor.dense())
        assert torch.equal(tensor.codes, ternary_clip.ternary[name].codes)


def test_a_dense_model_loads_without_ternary_weights(tiny_folder: Callable[[str], Path]) -> None:
    assert load(tiny_folder("clip")).ternary == {}
    with pytest.raises(FormatError, match="is not ternary: compress it first"):
        load_packed(tiny_folder("clip"))


def test_the_base_and_the_activations_are_told(packed: Path, ternary_clip: Clip) -> None:
    clip = load(packed)
    assert clip.base is not None
    assert clip.base.commit == ternary_clip.source.commit
    assert clip.activations == "float"


def test_what_is_dense_in_memory_is_not_described_as_packed(packed: Path) -> None:
    # nor are the towers, or an export would say of its dense weights that they are codes
    config = load(packed).model.config
    assert "quantization_config" not in config.to_json_string(use_diff=False)


def test_int8_activations_are_switched_on(packed: Path) -> None:
    text = load(packed).tokenize(["a red cat"])
    plain = load(packed).embed_texts(text)
    quantization = json.loads((packed / "config.json").read_text())["quantization_config"]
    edit_json(packed / "config.json", quantization_config=quantization | {"activations": "int8"})
    clip = load(packed)
    assert clip.activations == "int8"
    rounded = clip.embed_texts(text)
    assert not torch.equal(plain, rounded)
    assert torch.nn.functional.cosine_similarity(plain, rounded).min() > 0.99


@pytest.mark.parametrize(
    "change", [{"activations": "int3"}, {"base_model": None}, {"base_model": {"id": "x"}}]
)
def test_a_damaged_description_is_refused(packed: Path, change: dict[str, object]) -> None:
    quantization = json.loads((packed / "config.json").read_text())["quantization_config"]
    edit_json(packed / "config.json", quantization_config=quantization | change)
    with pytest.raises(FormatError, match=r"quantization_config in .*config\.json is damaged"):
        load(packed)
