"""A file that is damaged, foreign or newer is refused, and the message names the tensor."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tclip.errors import FormatError
from tclip.packed.checksum import checksum
from tclip.packed.load import load_packed
from tclip.packed.read import read_packed

WEIGHT = "text_projection.weight"


def rewrite(folder: Path, tensors: dict[str, Any], *, sealed: bool = True, **header: Any) -> None:
    """Change tensors (None drops one) and keys of the header; `sealed` makes the checksums fit."""
    path = folder / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        document = json.loads(file.metadata()["tclip"])
    kept = {name: x for name, x in (load_file(path) | tensors).items() if x is not None}
    if sealed:
        document["checksums"] = {name: checksum(x) for name, x in kept.items()}
    save_file(kept, path, {"tclip": json.dumps(document | header)})


def stored(folder: Path, name: str) -> torch.Tensor:
    return load_file(folder / "model.safetensors")[name]


def test_every_flipped_byte_is_noticed(packed: Path) -> None:
    path = packed / "model.safetensors"
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    for place in range(start, len(content), (len(content) - start) // 40):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(FormatError, match=r"the bytes of \S+ have changed"):
            read_packed(packed)
    path.write_bytes(content)
    read_packed(packed)


@pytest.mark.parametrize("kept", [0, 5, 100, 10_000, -1])
def test_a_truncated_file(packed: Path, kept: int) -> None:
    path = packed / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(FormatError, match=r"model\.safetensors is damaged or no safetensors file"):
        read_packed(packed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({f"{WEIGHT}_codes": None}, f"{WEIGHT}_codes is missing"),
        ({f"{WEIGHT}_scale": None}, f"{WEIGHT}_scale is missing"),
        ({f"{WEIGHT}_scale": torch.ones(3)}, f"{WEIGHT} is not base-3 bytes with scales"),
        ({f"{WEIGHT}_codes": torch.ones(154)}, f"{WEIGHT} is not base-3 bytes with scales"),
        ({f"{WEIGHT}_codes": torch.ones(9, dtype=torch.uint8)}, f"damaged at {WEIGHT}: "),
        ({f"{WEIGHT}_scale": torch.ones(5, 7)}, f"damaged at {WEIGHT}: "),
        ({f"{WEIGHT}_scale": torch.full((24, 1), torch.nan)}, f"{WEIGHT}_scale is not made of finite floats"),
        ({"logit_scale": torch.tensor(torch.inf)}, "logit_scale is not made of finite floats"),
        ({"logit_scale": torch.tensor(3, dtype=torch.int64)}, "logit_scale is I64"),
    ],
)
def test_a_wrong_tensor_is_named(packed: Path, changed: dict[str, Any], message: str) -> None:
    rewrite(packed, changed)
    with pytest.raises(FormatError, match=message):
        read_packed(packed)


def test_a_byte_that_is_no_five_codes(packed: Path) -> None:
    codes = stored(packed, f"{WEIGHT}_codes")
    codes[7] = 243
    rewrite(packed, {f"{WEIGHT}_codes": codes})
    with pytest.raises(FormatError, match=f"damaged at {WEIGHT}: .*24[23]"):
        read_packed(packed)


def test_every_missing_and_every_unknown_tensor_is_listed(packed: Path) -> None:
    rewrite(packed, {"logit_scale": None, "more": torch.ones(1)}, sealed=False)
    with pytest.raises(FormatError, match=r"\n  logit_scale is missing\n  more is unknown"):
        read_packed(packed)


def test_a_model_of_another_shape_is_refused_with_every_name(packed: Path) -> None:
    rewrite(
        packed, {"text_model.final_layer_norm.bias": torch.ones(5), "visual_projection.bias": torch.ones(1)}
    )
    message = (
        r"do not fit.*\n  visual_projection\.bias is not.*\n  text_model\.final_layer_norm\.bias is \[5\]"
    )
    with pytest.raises(FormatError, match=message):
        load_packed(packed)


def test_a_newer_version_asks_for_an_update(packed: Path) -> None:
    rewrite(packed, {}, version=3)
    with pytest.raises(FormatError, match=r"format version 3, newer than 2.*: update tclip"):
        read_packed(packed)


@pytest.mark.parametrize(
    "header",
    [
        {"version": "one"},
        {"version": 0},
        {"shapes": None},
        {"shapes": {WEIGHT: [-1, 5]}},
        {"shapes": {WEIGHT: "wide"}},
        {"checksums": {"logit_scale": "many"}},
        {"bits": {WEIGHT: 8}},  # which version 1 does not know
        {"version": 2, "bits": {WEIGHT: 5}},
        {"version": 2, "bits": {"logit_scale": 8}},
        {"version": 2, "bits": [WEIGHT]},
    ],
)
def test_a_damaged_header(packed: Path, header: dict[str, Any]) -> None:
    rewrite(packed, {}, **header)
    with pytest.raises(FormatError, match=r"The header of .* is damaged"):
        read_packed(packed)


def test_a_header_that_is_no_json(packed: Path) -> None:
    path = packed / "model.safetensors"
    save_file(load_file(path), path, {"tclip": "{"})
    with pytest.raises(FormatError, match=r"The header of .* is damaged"):
        read_packed(packed)


def test_a_foreign_file(packed: Path) -> None:
    path = packed / "model.safetensors"
    save_file(load_file(path), path, {"format": "pt"})
    with pytest.raises(FormatError, match="was not packed by tclip: pack it with `tclip pack`"):
        read_packed(packed)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"has no model\.safetensors"):
        read_packed(tmp_path)
