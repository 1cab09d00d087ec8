"""What is written is a stock model folder, bit-exact in codes and scales, and whole or not there at all."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from transformers import AutoImageProcessor, AutoTokenizer

from tclip.errors import FormatError
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.packed.load import load, load_packed
from tclip.packed.read import read_packed
from tclip.packed.write import write_packed
from tclip.ternary.quantizers import ternarize
from tclip.ternary.tensor import TernaryTensor
from tests.ternarizing import ternarized
from tests.ternary.strategies import shapes
from tests.tiny import FAMILY_NAMES


class Weights(nn.Module):
    """A model of one ternary weight and one float."""

    def __init__(self, config: Any, weight: torch.Tensor) -> None:
        super().__init__()
        self.config = config
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.ones(3))


@pytest.fixture(scope="module")
def roundtrip(
    ternary_clip: Clip, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[TernaryTensor, str], TernaryTensor]:
    """Write one ternary weight beside a float one, and read it."""
    folder = tmp_path_factory.mktemp("roundtrip") / "model"

    def go(tensor: TernaryTensor, dtype: str) -> TernaryTensor:
        model = Weights(ternary_clip.model.config, tensor.dense())
        write_packed(replace(ternary_clip, model=model, ternary={"weight": tensor}), folder, dtype)
        found = read_packed(folder)
        assert torch.equal(found.floats["bias"], torch.ones(3))
        return found.ternary["weight"]

    return go


@settings(max_examples=40, deadline=None)
@given(shape=shapes(least=1), seed=st.integers(0, 2**16), data=st.data())
def test_codes_and_scales_come_back_bit_for_bit(
    shape: tuple[int, ...],
    seed: int,
    data: st.DataObject,
    roundtrip: Callable[[TernaryTensor, str], TernaryTensor],
) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    row_length = weight[0].numel()
    sizes = [size for size in range(1, row_length + 1) if row_length % size == 0]
    granularity = data.draw(st.sampled_from(["tensor", "row", *(f"group:{size}" for size in sizes)]))
    tensor = ternarize(weight, "mse", granularity)
    exact = roundtrip(tensor, "float32")
    assert torch.equal(exact.codes, tensor.codes)
    assert torch.equal(exact.scale_RG, tensor.scale_RG)
    half = roundtrip(tensor, "float16")
    assert torch.equal(half.codes, tensor.codes)
    assert torch.equal(half.scale_RG, tensor.scale_RG.half().float())
    again = roundtrip(half, "float16")
    assert torch.equal(again.codes, half.codes)
    assert torch.equal(again.scale_RG, half.scale_RG)


@pytest.mark.parametrize("scale", ["row", "tensor", "group:4"])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_whole_model_comes_back(
    tiny_folder: Callable[[str], Path], tmp_path: Path, family: str, scale: str
) -> None:
    clip = ternarized(load_dense(str(tiny_folder(family))), scale)
    write_packed(clip, tmp_path / "one", "float32")
    found = load_packed(tmp_path / "one")
    assert found.ternary.keys() == clip.ternary.keys()
    for name, parameter in clip.model.named_parameters():
        assert torch.equal(found.model.get_parameter(name), parameter), name
    write_packed(found, tmp_path / "two", "float32")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_folder_is_a_stock_model_folder(packed: Path, ternary_clip: Clip) -> None:
    AutoTokenizer.from_pretrained(packed)
    AutoImageProcessor.from_pretrained(packed)
    config = json.loads((packed / "config.json").read_text())
    assert config["model_type"] == "clip"
    assert config["quantization_config"]["quant_method"] == "tclip"
    assert config["quantization_config"]["scale"] == ["row"]
    for tower in ("vision_config", "text_config"):  # all that transformers reads for a tower alone
        assert config[tower]["quantization_config"] == config["quantization_config"]
        assert config[tower]["dtype"] == config["dtype"] == "float32"
    with safe_open(packed / "model.safetensors", framework="numpy") as file:
        dtypes = {name: str(file.get_tensor(name).dtype) for name in file.keys()}  # noqa: SIM118 (no dict)
    codes = {name for name, dtype in dtypes.items() if dtype == "uint8"}
    assert codes == {f"{name}_codes" for name in ternary_clip.ternary}
    assert set(dtypes.values()) == {"uint8", "float16"}
    assert "quantization_config" not in ternary_clip.model.config.to_json_string(use_diff=False)


def test_where_a_local_model_lay_is_nobodys_business(packed: Path, ternary_clip: Clip) -> None:
    base = json.loads((packed / "config.json").read_text())["quantization_config"]["base_model"]
    assert base["id"] == Path(ternary_clip.source.id).name
    assert base["commit"] == ternary_clip.source.commit


def test_a_dense_model_is_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    clip = load_dense(str(tiny_folder("clip")))
    with pytest.raises(FormatError, match="has no ternary weights: calibrate it first"):
        write_packed(clip, tmp_path / "packed")
    assert not list(tmp_path.iterdir())


def test_what_half_precision_cannot_hold_is_named(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    clip = ternarized(load_dense(str(tiny_folder("clip"))))
    name = "text_projection.weight"
    tensor = clip.ternary[name]
    clip.ternary[name] = TernaryTensor(tensor.codes, tensor.scale_RG * 1e9)
    clip.model.get_parameter("vision_model.post_layernorm.bias").data[0] = 1e6
    with pytest.raises(
        FormatError, match=r"float16.*\n  text_projection\.weight_scale\n  vision_model\.post"
    ):
        write_packed(clip, tmp_path / "packed")
    write_packed(clip, tmp_path / "packed", "float32")
    assert torch.equal(load(tmp_path / "packed").ternary[name].scale_RG, tensor.scale_RG * 1e9)


@pytest.mark.parametrize(
    ("others", "row", "lost"),
    [(0.05, 2e-8, False), (1e-4, 2e-8, False), (3e-5, 2e-8, True), (2e-8, 2e-8, True), (0, 1e-9, False)],
)
def test_a_row_that_is_nothing_beside_the_others_becomes_zero(
    others: float, row: float, lost: bool, ternary_clip: Clip, tmp_path: Path
) -> None:
    scale_RG = torch.tensor([[others], [row], [others]])
    tensor = TernaryTensor(torch.ones(3, 4, dtype=torch.int8), scale_RG)
    model = Weights(ternary_clip.model.config, tensor.dense())
    clip = replace(ternary_clip, model=model, ternary={"weight": tensor})
    if lost:
        with pytest.raises(FormatError, match=r"float16.*\n  weight_scale"):
            write_packed(clip, tmp_path / "packed")
    else:
        write_packed(clip, tmp_path / "packed")
        found = read_packed(tmp_path / "packed").ternary["weight"]
        assert torch.equal(found.scale_RG, scale_RG.half().float())
        assert found.scale_RG[1] == 0


def test_a_failure_keeps_the_good_folder(
    packed: Path, ternary_clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in packed.iterdir()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tclip.packed.write.save_file", full)
    with pytest.raises(OSError, match="No space"):
        write_packed(ternary_clip, packed, "float32")
    assert {path.name: path.read_bytes() for path in packed.iterdir()} == before
    assert list(packed.parent.iterdir()) == [packed]


def test_what_a_killed_writer_left_is_swept_up(packed: Path, ternary_clip: Clip) -> None:
    leftover = packed.with_name(f".{packed.name}.writing-1")
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    write_packed(ternary_clip, packed)
    assert list(packed.parent.iterdir()) == [packed]
