"""Embeddings of what was turned, against open_clip's forward in plain torch; weights that do not fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from tclip.errors import ModelError
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.models.open_clip import towers
from tests import tiny_tokenizers
from tests.models.open_clip_reference import (
    NATIVE,
    SIGLIP,
    TOKENS,
    TRUNK,
    TRUNK_WIDTHS,
    WEIGHTS,
    Reference,
    open_clip_folder,
)

TEXTS = ["a photo of one cat", "two red dogs and one ball", "the woman plays with one big blue ball"]
WORDS = tiny_tokenizers.clip_tokenizer(TOKENS)
END, ONE = WORDS.eos_token_id, WORDS("one")["input_ids"][1]
QUICK = {"quick_gelu": True}
TANH = {"vision_cfg.act_kwargs": {"approximate": "tanh"}, "text_cfg.act_kwargs": {"approximate": "tanh"}}
EPS = {"vision_cfg.norm_kwargs": {"eps": 0.1}, "text_cfg.norm_kwargs": {"eps": 0.2}}


@pytest.fixture(autouse=True)
def _tiny_trunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(towers.SIGLIP_TRUNKS, TRUNK, "gelu")
    monkeypatch.setitem(towers.SIGLIP_WIDTHS, "tiny", TRUNK_WIDTHS)


def pictures() -> list[Image.Image]:
    pixels = torch.randint(0, 256, (4, 40, 50, 3), generator=torch.Generator().manual_seed(0))
    return [Image.fromarray(each.to(torch.uint8).numpy()) for each in pixels]


def padded(clip: Clip, ids: torch.Tensor) -> torch.Tensor:
    """As open_clip pads texts: to the full length, CLIP's with 0."""
    fill = clip.tokenizer.pad_token_id if clip.family.pads_to_maximum else 0
    return nn.functional.pad(ids, (0, TOKENS - ids.shape[1]), value=fill)


@torch.no_grad()
def assert_same(clip: Clip, reference: Reference) -> None:
    pixels, ids = clip.preprocess(pictures())["pixel_values"], clip.tokenize(TEXTS)["input_ids"]
    image_BE, text_LE = clip.embed_images({"pixel_values": pixels}), clip.embed_texts({"input_ids": ids})
    expected = [reference.visual(pixels), reference.text(padded(clip, ids))]
    for ours, theirs in zip((image_BE, text_LE), expected, strict=True):
        torch.testing.assert_close(ours, nn.functional.normalize(theirs, dim=-1), atol=2e-6, rtol=0)
        assert (ours @ ours.T - torch.eye(len(ours))).abs().max() < 0.999  # they are told apart
    logits = reference.logits(pixels, padded(clip, ids))
    torch.testing.assert_close(clip.logits(image_BE, text_LE), logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("changes", "family"),
    [
        ({}, "clip"),
        (QUICK, "clip"),
        (TANH, "clip"),
        (EPS, "clip"),
        ({"vision_cfg.image_size": [32, 32], "vision_cfg.patch_dropout": 0.5, "custom_text": True}, "clip"),
        ({"text_cfg.pool_type": "eos", "text_cfg.eos_id": END}, "metaclip_2"),
        ({"text_cfg.pool_type": "eos", "text_cfg.eos_id": ONE}, "metaclip_2"),
    ],
    ids=str,
)
def test_native_towers(tmp_path: Path, changes: dict[str, Any], family: str) -> None:
    reference = open_clip_folder(tmp_path, NATIVE, changes)
    clip = load_dense(str(tmp_path))
    assert clip.model.config.model_type == family
    assert_same(clip, reference)


@pytest.mark.parametrize("activation", ["gelu", "gelu_pytorch_tanh"])
@pytest.mark.parametrize("changes", [{}, {"text_cfg.act_kwargs": {"approximate": "tanh"}}, QUICK], ids=str)
def test_siglip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, activation: str, changes: dict[str, Any]
) -> None:
    monkeypatch.setitem(towers.SIGLIP_TRUNKS, TRUNK, activation)
    gelu = nn.GELU(approximate="tanh" if "tanh" in activation else "none")
    reference = open_clip_folder(tmp_path, SIGLIP, changes, trunk_gelu=gelu)
    clip = load_dense(str(tmp_path))
    assert clip.model.config.model_type == "siglip"
    assert_same(clip, reference)


def edit_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    weights = {**load_file(folder / WEIGHTS), **changes}
    save_file({name: x for name, x in weights.items() if x is not None}, folder / WEIGHTS)


def test_weights_of_a_parallel_model_in_half_precision(tmp_path: Path) -> None:
    reference = open_clip_folder(tmp_path)
    halves = {f"module.{name}": x.half() for name, x in load_file(tmp_path / WEIGHTS).items()}
    halves["module.logit_scale"] = halves["module.logit_scale"][
        None
    ]  # a vector of one, as open_clip can have it
    save_file(halves, tmp_path / WEIGHTS)
    reference.load_state_dict({name: x.half().float() for name, x in reference.state_dict().items()})
    clip = load_dense(str(tmp_path))
    assert {parameter.dtype for parameter in clip.model.parameters()} == {torch.float32}
    assert_same(clip, reference)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"visual.proj": None, "ln_final.weight": None},
            r"lacks 2 weights .* text_model\.final_layer_norm\.weight: give a model with both",
        ),
        (
            {"positional_embedding": torch.zeros(TOKENS + 1, 48)},
            r"1 weights .* open_clip_config\.json says, such as .*\.weight \[21, 48\] for \[20, 48\]: fetch",
        ),
        (
            {"visual.transformer.resblocks.0.ls_1.gamma": torch.ones(32)},
            r"1 weights that its .* does not account for, such as .*layers\.0\.ls_1\.gamma: fetch both",
        ),
        (
            {"visual.transformer.resblocks.0.attn.in_proj_bias": torch.zeros(1)},
            r"The weights of .* cannot be read \(.*\): fetch it again",
        ),
    ],
    ids=["missing", "misshapen", "surplus", "not three"],
)
def test_weights_that_do_not_fit_the_config(
    tmp_path: Path, changes: dict[str, torch.Tensor | None], sentence: str
) -> None:
    open_clip_folder(tmp_path)
    edit_weights(tmp_path, **changes)
    with pytest.raises(ModelError, match=sentence) as caught:
        load_dense(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_damaged_weights(tmp_path: Path) -> None:
    open_clip_folder(tmp_path)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"The weights of .* cannot be read \(.*\): fetch it again"):
        load_dense(str(tmp_path))
