"""Files with weights of 4 and 8 bits: a version of their own, bit for bit, as small as the bits say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from tclip.errors import FormatError
from tclip.models.clip import Clip
from tclip.packed.load import load_packed
from tclip.packed.read import read_packed
from tclip.packed.size import measure
from tclip.packed.stage import size_table
from tclip.packed.write import write_packed
from tclip.ternary.integers import to_integers
from tests.packed.test_read import rewrite, stored
from tests.packed.test_write import Weights
from tests.ternarizing import MIXED_BITS

WEIGHT = "visual_projection.weight"


@pytest.fixture
def mixed(mixed_clip: Clip, tmp_path: Path) -> Path:
    write_packed(mixed_clip, tmp_path / "mixed")
    return tmp_path / "mixed"


def header_and_config(folder: Path) -> tuple[dict[str, object], dict[str, object]]:
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["tclip"])
    return header, json.loads((folder / "config.json").read_text())["quantization_config"]


def test_only_files_that_have_such_weights_are_of_version_2(mixed: Path, packed: Path) -> None:
    header, config = header_and_config(mixed)
    present = {name: bits for name, bits in MIXED_BITS.items() if name in header["shapes"]}
    assert (header["version"], header["bits"], len(present)) == (2, present, 5)
    assert (config["format_version"], config["integer_bits"]) == (2, [4, 8])
    header, config = header_and_config(packed)
    assert list(header) == ["version", "shapes", "checksums"]
    assert header["version"] == config["format_version"] == 1
    assert "integer_bits" not in config


def test_the_whole_model_comes_back(mixed: Path, mixed_clip: Clip, tmp_path: Path) -> None:
    found = load_packed(mixed)
    assert found.ternary.keys() == mixed_clip.ternary.keys()
    assert {name: tensor.bits for name, tensor in found.ints.items()} == {
        name: tensor.bits for name, tensor in mixed_clip.ints.items()
    }
    for name, parameter in mixed_clip.model.named_parameters():
        assert torch.equal(found.model.get_parameter(name), parameter), name
    write_packed(found, tmp_path / "again")
    one, two = (load_file(folder / "model.safetensors") for folder in (mixed, tmp_path / "again"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert header_and_config(tmp_path / "again") == header_and_config(mixed)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 5),
    inputs=st.sampled_from([1, 6, 12]),
    bits=st.sampled_from([4, 8]),
    granularity=st.sampled_from(["tensor", "row", "group:1"]),
)
def test_codes_and_scales_come_back_bit_for_bit(
    mixed_clip: Clip, tmp_path_factory: pytest.TempPathFactory, rows, inputs, bits, granularity
) -> None:
    tensor = to_integers(torch.randn(rows, inputs), bits, granularity).rounded(torch.float16)
    folder = tmp_path_factory.mktemp("one") / "model"
    model = Weights(mixed_clip.model.config, tensor.dense())
    (_name, ternary), *_ = mixed_clip.ternary.items()
    model.register_parameter("other", torch.nn.Parameter(ternary.dense()))
    clip = replace(mixed_clip, model=model, ternary={"other": ternary}, ints={"weight": tensor})
    write_packed(clip, folder)
    found = read_packed(folder)
    assert found.ints["weight"].bits == bits
    assert torch.equal(found.ints["weight"].codes, tensor.codes)
    assert torch.equal(found.ints["weight"].scale_RG, tensor.scale_RG)
    assert torch.equal(found.ternary["other"].codes, ternary.codes)


def test_the_parts_are_those_of_the_file(mixed: Path, mixed_clip: Clip) -> None:
    size, tensors = measure(mixed), load_file(mixed / "model.safetensors")
    assert size.num_weights == sum(p.numel() for p in mixed_clip.model.parameters())
    assert list(size.ints) == [4, 8]
    for bits, each in size.ints.items():
        weights = [tensor for tensor in mixed_clip.ints.values() if tensor.bits == bits]
        assert each.num_weights == sum(tensor.codes.numel() for tensor in weights)
        assert each.num_bytes == sum(
            tensor.codes.numel() * bits / 8 + 2 * tensor.scale_RG.numel() for tensor in weights
        )
    in_ints = sum(each.num_bytes for each in size.ints.values())
    parts = size.code_bytes + size.scale_bytes + size.float_bytes + in_ints
    assert parts == sum(x.nbytes for x in tensors.values())
    rows = size_table(mixed, size).rows
    assert [row[0] for row in rows[2:4]] == [f"weights of {bits} bits, scales included" for bits in (4, 8)]
    assert sum(row[2] for row in rows[:-1]) == rows[-1][2] == size.model_bytes
    assert sum(row[1] or 0 for row in rows[:-1]) == rows[-1][1]


def test_a_byte_that_does_not_exist(mixed: Path) -> None:
    codes = stored(mixed, f"{WEIGHT}_codes")
    codes[3] = 0x0F  # its first code would be -8
    rewrite(mixed, {f"{WEIGHT}_codes": codes})
    with pytest.raises(FormatError, match=f"damaged at {WEIGHT}: the byte 15 does not exist in base 16"):
        read_packed(mixed)


def test_bytes_of_other_bits(mixed: Path) -> None:
    rewrite(mixed, {}, bits=dict.fromkeys(header_and_config(mixed)[0]["bits"], 8))
    with pytest.raises(FormatError, match=r"damaged at \S+: \d+ bytes cannot hold \d+ codes"):
        read_packed(mixed)
