"""BitNet folders, beside transformers' own BitNet layer and packing."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPConfig, CLIPModel
from transformers.quantizers.quantizers_utils import should_convert_module

from tclip.errors import ModelError
from tclip.export.bitnet import export_bitnet, open_bitnet, pack_rows
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.ternary.activations import fake_int8, quantize_activations
from tclip.ternary.tensor import TernaryTensor
from tests.ternarizing import ternarized

# what torch says of itself when transformers' BitNet layers are imported
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def stock() -> Any:
    """The module of transformers with its BitNet layers; importing it takes seconds."""
    from transformers.integrations import bitnet

    return bitnet


def int8_clip(clip: Clip, **how: Any) -> Clip:
    """Round a clip to one scale a weight, and its ternary linear layers' inputs to int8, as BitNet does."""
    clip = ternarized(clip, "tensor", **how)
    linear = [
        name for name in clip.ternary if type(clip.model.get_submodule(name.rpartition(".")[0])) is nn.Linear
    ]
    quantize_activations(clip.model, linear)
    clip.activations = "int8"
    return clip


@pytest.fixture
def clip(tiny_folder: Callable[[str], Path]) -> Clip:
    return int8_clip(load_dense(str(tiny_folder("clip"))))


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 1000))
def test_codes_are_packed_as_transformers_packs_them(stock: Any, rows: int, columns: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(-1, 2, (4 * rows, columns), generator=generator, dtype=torch.int8)
    assert torch.equal(pack_rows(codes), stock.pack_weights(codes.clone()))


def test_a_layer_of_transformers_gives_what_ours_gives(stock: Any, clip: Clip, tmp_path: Path) -> None:
    export_bitnet(clip, tmp_path / "bitnet")
    stored = load_file(tmp_path / "bitnet" / "model.safetensors")
    name = "vision_model.encoder.layers.0.mlp.fc1"
    ternary, bias = clip.ternary[f"{name}.weight"], clip.model.get_submodule(name).bias.detach()
    layer = stock.AutoBitLinear(32, 64)
    with torch.no_grad():
        layer.weight.copy_(ternary.codes)
        layer.bias.copy_(stored[f"{name}.bias"])
        layer.weight_scale.copy_(stored[f"{name}.weight_scale"])
    x = torch.randn(3, 5, 32)
    ours = nn.functional.linear(fake_int8(x), ternary.dense(), bias)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        assert torch.allclose(layer(x), ours, atol=0.01 * float(ours.abs().max()))
    assert torch.allclose(layer.bias * layer.weight_scale, bias, rtol=0.01)
    assert not torch.allclose(layer.bias, bias, rtol=0.5)


@pytest.mark.parametrize("family", ["clip", "siglip", "chinese_clip"])
def test_stock_layers_answer_as_the_packed_model(
    stock: Any,
    family: str,
    tiny_folder: Callable[[str], Path],
    tmp_path: Path,
    images: list[Any],
    texts: list[str],
) -> None:
    clip = int8_clip(load_dense(str(tiny_folder(family))))
    export_bitnet(clip, tmp_path / "bitnet")
    opened = open_bitnet(tmp_path / "bitnet", tmp_path)
    kinds = {type(module) for module in opened.model.modules() if isinstance(module, nn.Linear)}
    assert stock.AutoBitLinear in kinds
    assert nn.Linear not in kinds
    with torch.no_grad():
        for encode, inputs in (
            ("embed_images", clip.preprocess(images)),
            ("embed_texts", clip.tokenize(texts)),
        ):
            cosine = nn.functional.cosine_similarity(
                getattr(opened, encode)(inputs), getattr(clip, encode)(inputs)
            )
            assert cosine.min() > 0.999, encode


def test_layers_that_are_not_ternary_stay_as_they_are(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    clip = int8_clip(load_dense(str(tiny_folder("clip"))), preset="ffn")
    export_bitnet(clip, tmp_path / "bitnet")
    config = json.loads((tmp_path / "bitnet" / "config.json").read_text())["quantization_config"]
    assert (config["quant_method"], config["linear_class"]) == ("bitnet", "autobitlinear")
    for name, module in clip.model.named_modules():
        if isinstance(module, nn.Linear):
            converted = should_convert_module(name, config["modules_to_not_convert"])
            assert converted == (f"{name}.weight" in clip.ternary), name
    stored = load_file(tmp_path / "bitnet" / "model.safetensors")
    query = "text_model.encoder.layers.0.self_attn.q_proj.weight"
    assert torch.equal(stored[query], clip.model.get_parameter(query).to(torch.bfloat16))
    assert stored["text_model.encoder.layers.0.mlp.fc1.weight"].dtype == torch.uint8


def test_rows_that_are_no_multiple_of_4_are_stored_unpacked(clip: Clip, tmp_path: Path) -> None:
    config = clip.model.config.to_dict() | {"projection_dim": 26}
    odd = int8_clip(replace(clip, model=CLIPModel(CLIPConfig.from_dict(config)).eval(), ternary={}))
    export_bitnet(odd, tmp_path / "bitnet")
    layer = open_bitnet(tmp_path / "bitnet", tmp_path).model.text_projection
    assert torch.equal(layer.weight, odd.ternary["text_projection.weight"].codes.float())


def test_a_weight_of_zeros_keeps_its_bias(clip: Clip, tmp_path: Path) -> None:
    name = "text_model.encoder.layers.0.mlp.fc1"
    codes = clip.ternary[f"{name}.weight"].codes
    clip.ternary[f"{name}.weight"] = TernaryTensor(codes, torch.zeros(1, 1))
    export_bitnet(clip, tmp_path / "bitnet")
    layer = open_bitnet(tmp_path / "bitnet", tmp_path).model.get_submodule(name)
    assert not layer.weight.any()
    assert torch.equal(
        layer.bias * layer.weight_scale, clip.model.get_submodule(name).bias.bfloat16().float()
    )


def test_what_bitnet_cannot_say_is_refused_all_at_once(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    clip = ternarized(load_dense(str(tiny_folder("clip"))), "row")
    with pytest.raises(ModelError, match=r"quantize\.scale=tensor") as raised:
        export_bitnet(clip, tmp_path / "bitnet")
    lines = str(raised.value).splitlines()[1:]
    assert "  activations: float" in lines
    assert "  vision_model.encoder.layers.*.mlp.fc1.weight (2 of them): scales per row" in lines
    assert "  text_projection.weight: scales per row" in lines
    assert len(lines) == 1 + 2 * 6 + 2  # activations, six weights of a layer in each tower, two projections
    assert not (tmp_path / "bitnet").exists()


def test_a_model_without_ternary_linear_layers_is_refused(clip: Clip, tmp_path: Path) -> None:
    embedding = "text_model.embeddings.token_embedding.weight"
    clip.ternary = {embedding: clip.ternary[embedding]}
    with pytest.raises(ModelError, match="no linear layer is ternary"):
        export_bitnet(clip, tmp_path / "bitnet")
