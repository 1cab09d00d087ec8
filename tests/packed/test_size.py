"""Bytes are those of real files, and a ViT-B/32 is as small as was promised."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel

from tclip.models.clip import Clip
from tclip.models.sites import find_sites, plan_ternarization
from tclip.packed.size import measure
from tclip.packed.write import write_packed
from tclip.recipe.schema import Quantize
from tclip.ternary.tensor import TernaryTensor


def test_the_parts_are_those_of_the_file(packed: Path, ternary_clip: Clip) -> None:
    size, stored = measure(packed), load_file(packed / "model.safetensors")
    assert size.model_bytes == (packed / "model.safetensors").stat().st_size
    assert size.folder_bytes == sum(path.stat().st_size for path in packed.iterdir())
    assert size.code_bytes + size.scale_bytes + size.float_bytes == sum(x.nbytes for x in stored.values())
    assert size.num_weights == sum(p.numel() for p in ternary_clip.model.parameters())
    assert size.num_ternary == sum(tensor.codes.numel() for tensor in ternary_clip.ternary.values())
    assert size.num_zeros == sum(int((t.codes == 0).sum()) for t in ternary_clip.ternary.values())
    assert size.code_bytes == sum(math.ceil(t.codes.numel() / 5) for t in ternary_clip.ternary.values())
    assert size.bits == 8 * (size.code_bytes + size.scale_bytes) / size.num_ternary


@pytest.fixture(scope="module")
def vit_b_32(ternary_clip: Clip) -> Iterator[Clip]:
    """The sizes of openai/clip-vit-base-patch32 with random codes and scales for the preset `all`."""
    vision = {"hidden_size": 768, "intermediate_size": 3072, "patch_size": 32, "image_size": 224}
    text = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "vocab_size": 49408}
    with torch.device("meta"):
        model = CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=512))
    names = plan_ternarization(find_sites(model), Quantize()).ternary_names
    generator = torch.Generator().manual_seed(0)
    ternary = {}
    for name in names:
        shape = model.get_parameter(name).shape
        codes = torch.randint(-1, 2, shape, generator=generator, dtype=torch.int8)
        ternary[name] = TernaryTensor(codes, torch.rand(shape[0], 1, generator=generator) + 0.1)
    yield replace(ternary_clip, model=model.to_empty(device="cpu"), ternary=ternary)


def test_a_vit_b_32_takes_31_6_mb_at_most(vit_b_32: Clip, tmp_path: Path) -> None:
    for name, parameter in vit_b_32.model.state_dict().items():
        if name not in vit_b_32.ternary:
            parameter.zero_()
    write_packed(vit_b_32, tmp_path / "b32")
    size = measure(tmp_path / "b32")
    assert size.num_weights == 151_277_313
    assert size.float32_bytes / size.model_bytes > 19.1
    assert (tmp_path / "b32" / "model.safetensors").stat().st_size <= 31_600_000
    assert size.ternary_share > 0.99
    assert size.bits < 1.63
