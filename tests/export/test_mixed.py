"""Models of whose weights a few have 4 or 8 bits, in every format that is exported."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from tclip.export.bitnet import export_bitnet, open_bitnet
from tclip.export.compressed import export_compressed, open_compressed
from tclip.export.dense import export_dense, open_dense
from tclip.export.gguf import export_gguf, open_gguf
from tclip.export.onnx import IMAGE_FILE, TEXT_FILE, write_graphs
from tclip.export.session import open_session, run
from tclip.export.trace import trace_towers
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tclip.recipe.schema import Onnx
from tclip.ternary.activations import quantize_activations
from tests.ternarizing import MIXED_BITS, ternarized

Folder = Callable[[str], Path]


@pytest.fixture(scope="module", params=["clip", "siglip"])
def mixed(request: Any, tiny_folder: Folder) -> tuple[Clip, tuple[Any, Any]]:
    """A mixed clip and its traced towers."""
    clip = ternarized(load_dense(str(tiny_folder(request.param))), bits=MIXED_BITS)
    return clip, trace_towers(clip)


@pytest.mark.parametrize("settings", [Onnx(activations="float"), Onnx(activations="float", format="nbits")])
@torch.no_grad()
def test_float_onnx_files_answer_as_the_model(
    mixed: Any, settings: Onnx, tmp_path: Path, images: list[Image.Image], texts: list[str]
) -> None:
    clip, traced = mixed
    write_graphs(clip, traced, tmp_path, settings)
    for file, inputs, embed in (
        (IMAGE_FILE, clip.preprocess(images), clip.embed_images),
        (TEXT_FILE, clip.tokenize(texts), clip.embed_texts),
    ):
        (found_BE,) = run(open_session(tmp_path / file, 1), inputs)
        torch.testing.assert_close(torch.from_numpy(found_BE), embed(inputs), rtol=0, atol=1e-5)


@torch.no_grad()
def test_layers_that_keep_bits_never_round_their_inputs(
    mixed: Any, tmp_path: Path, images: list[Image.Image]
) -> None:
    traced = mixed[1]
    clip = replace(mixed[0], activations="int8")
    write_graphs(clip, traced, tmp_path, Onnx(activations="float"))
    handles = quantize_activations(clip.model, clip.ternary)
    expected_BE = clip.embed_images(clip.preprocess(images))
    for handle in handles:
        handle.remove()
    (found_BE,) = run(open_session(tmp_path / IMAGE_FILE, 1), clip.preprocess(images))
    torch.testing.assert_close(torch.from_numpy(found_BE), expected_BE, rtol=0, atol=1e-4)


@pytest.mark.parametrize("form", ["base3", "nbits"])
def test_onnx_files_hold_bytes_of_their_bits(mixed: Any, form: str, tmp_path: Path) -> None:
    clip, traced = mixed
    write_graphs(clip, traced, tmp_path, Onnx(format=form))
    held: dict[int, int] = {16: 0, 256: 0}
    for file in (IMAGE_FILE, TEXT_FILE):
        for tensor in onnx.load(tmp_path / file).graph.initializer:
            for base in held:
                held[base] += len(tensor.raw_data) if tensor.name.endswith(f".base{base}") else 0
    numbers = {tensor.base: 0 for tensor in clip.ints.values()}
    for tensor in clip.ints.values():
        numbers[tensor.base] += tensor.codes.numel()
    assert held == {16: numbers[16] // 2, 256: numbers[256]}


@torch.no_grad()
def test_int8_onnx_files_are_near(mixed: Any, tmp_path: Path, images: list[Image.Image]) -> None:
    clip, traced = mixed
    write_graphs(clip, traced, tmp_path, Onnx(activations="int8"))
    inputs = clip.preprocess(images)
    (found_BE,) = run(open_session(tmp_path / IMAGE_FILE, 1), inputs)
    cosine_B = torch.cosine_similarity(torch.from_numpy(found_BE), clip.embed_images(inputs))
    assert cosine_B.min() > 0.99


@pytest.mark.parametrize("form", ["base3", "nbits"])
def test_int8_onnx_files_multiply_integers_of_4_bits_and_floats_of_8(
    mixed: Any, form: str, tmp_path: Path
) -> None:
    clip, traced = mixed
    write_graphs(clip, traced, tmp_path, Onnx(activations="int8", format=form))
    multiplied: dict[str, set[str]] = {}
    for file in (IMAGE_FILE, TEXT_FILE):
        for node in onnx.load(tmp_path / file).graph.node:
            for name in node.input:
                multiplied.setdefault(name, set()).add(node.op_type)
    assert multiplied["vision_model.encoder.layers.0.mlp.fc1.weight.base16/codes"] == {"MatMulInteger"}
    assert multiplied["text_model.encoder.layers.1.self_attn.q_proj.weight.base256/scaled"] == {"MatMul"}


def test_dense_folders_hold_the_products_in_bfloat16(mixed: Any, tmp_path: Path) -> None:
    clip, _ = mixed
    export_dense(clip, tmp_path / "dense")
    state = open_dense(tmp_path / "dense", tmp_path).model.state_dict()
    for name, tensor in clip.coded.items():
        assert torch.equal(state[name], tensor.dense().bfloat16().float()), name


def test_bitnet_folders_hold_the_products_in_bfloat16(tiny_folder: Folder, tmp_path: Path) -> None:
    clip = ternarized(load_dense(str(tiny_folder("clip"))), "tensor", bits=MIXED_BITS)
    export_bitnet(replace(clip, activations="int8"), tmp_path / "bitnet")
    opened = open_bitnet(tmp_path / "bitnet", tmp_path)
    state = opened.model.state_dict()
    for name, tensor in clip.ints.items():
        assert torch.equal(state[name], tensor.dense().bfloat16().float()), name


def test_compressed_folders_hold_the_very_products(mixed: Any, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors", reason="needs the extra: pip install 'tclip[compressed]'")
    clip, _ = mixed
    export_compressed(clip, tmp_path / "compressed")
    state = open_compressed(tmp_path / "compressed", tmp_path).model.state_dict()
    for name, tensor in clip.model.state_dict().items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize("kind", ["tq2_0", "f16"])
def test_gguf_files_hold_blocks_of_4_and_8_bits(tiny_folder: Folder, tmp_path: Path, kind: Any) -> None:
    gguf = pytest.importorskip("gguf", reason="needs the extra: pip install 'tclip[gguf]'")
    tiny = load_dense(str(tiny_folder("clip")))
    tower = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2}
    parts = {
        part: {**getattr(tiny.model.config, part).to_dict(), **tower}
        for part in ("text_config", "vision_config")
    }
    model = CLIPModel(CLIPConfig(**parts, projection_dim=256)).eval()
    clip = ternarized(replace(tiny, model=model, ternary={}, ints={}), bits=MIXED_BITS)
    write_packed(clip, tmp_path / "packed")
    (file,) = export_gguf(clip, tmp_path / "gguf", kind)
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(file.path).tensors}
    assert types["v.patch_embd.weight"] == "F16"
    assert types["t.token_embd.weight"] == ("Q4_0" if kind == "tq2_0" else "F16")
    assert types["t.blk.1.attn_q.weight"] == ("Q8_0" if kind == "tq2_0" else "F16")
    state = open_gguf(file.path, tmp_path / "packed").model.state_dict()
    for name, tensor in clip.coded.items():
        exact = kind == "tq2_0" and tensor.codes.ndim == 2
        expected = tensor.dense() if exact else tensor.dense().half().float()
        assert torch.equal(state[name], expected), name
