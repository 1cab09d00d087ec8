"""A file that is damaged, newer, or not that of its config.json is refused with one sentence of ours."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AltCLIPTextModel, AutoModel, CLIPModel, CLIPVisionModel

from tclip.errors import FormatError
from tclip.packed.format import CODES, FORMAT_VERSION, SCALE
from tclip.plugin.config import TclipConfig
from tests.packed.test_read import rewrite
from tests.plugin.conftest import PackedFolder

WEIGHT = "text_projection.weight"


@pytest.fixture
def folder(packed_folder: PackedFolder, tmp_path: Path) -> Path:
    """A packed folder of the test's own."""
    return Path(shutil.copytree(packed_folder(), tmp_path / "packed"))


def edit_config(folder: Path, **parts: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    for name, changes in parts.items():
        config[name] |= changes
    (folder / "config.json").write_text(json.dumps(config))


def test_a_file_of_a_newer_format(folder: Path) -> None:
    rewrite(folder, {}, version=FORMAT_VERSION + 1)
    with pytest.raises(
        FormatError, match=r"model\.safetensors has format version 3, newer than 2.*: update tclip"
    ):
        CLIPModel.from_pretrained(folder)


def test_a_newer_format_is_refused_before_its_weights_are_fetched(folder: Path) -> None:
    edit_config(folder, quantization_config={"format_version": FORMAT_VERSION + 1})
    (folder / "model.safetensors").unlink()
    with pytest.raises(FormatError, match=r"config\.json has format version 3, newer than 2.*: update tclip"):
        AutoModel.from_pretrained(folder)


def test_flipped_bytes_anywhere(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    for place in range(start, len(content), (len(content) - start) // 8):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(FormatError, match=r"the bytes of \S+ have changed"):
            CLIPModel.from_pretrained(folder)
    path.write_bytes(content)
    CLIPModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({f"{WEIGHT}{SCALE}": None}, rf"{WEIGHT}{SCALE} is missing"),
        (
            {f"{WEIGHT}{CODES}": torch.full((154,), 250, dtype=torch.uint8)},
            rf"damaged at {WEIGHT}: the byte 250 does not exist in base 3",
        ),
        ({f"{WEIGHT}{SCALE}": torch.full((24, 1), torch.nan)}, r"not made of finite floats"),
        ({"logit_scale": torch.tensor(torch.inf)}, r"logit_scale is not made of finite floats"),
    ],
)
def test_what_cannot_be_right(folder: Path, changed: dict[str, Any], message: str) -> None:
    rewrite(folder, changed)
    with pytest.raises(FormatError, match=message):
        CLIPModel.from_pretrained(folder)


def test_a_truncated_file(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match=r"model\.safetensors is damaged or no safetensors file"):
        CLIPModel.from_pretrained(folder)


def test_a_file_without_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file(load_file(path), path, {"format": "pt"})
    with pytest.raises(FormatError, match="was not packed by tclip"):
        CLIPModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        (
            "text_config",
            {"vocab_size": 999},
            r"token_embedding\.weight is \[\d+, 32\] instead of \[999, 32\]",
        ),
        (
            "text_config",
            {"max_position_embeddings": 9},
            r"position_embedding\.weight is \[20, 32\] instead of \[9,",
        ),
        ("vision_config", {"num_hidden_layers": 3}, r"layers\.2\.mlp\.fc1\.weight is missing"),
        ("vision_config", {"num_hidden_layers": 1}, r"layers\.1\.mlp\.fc1\.weight is not of this model"),
    ],
)
def test_a_config_of_another_model(folder: Path, part: str, changes: dict[str, int], message: str) -> None:
    # transformers alone would make up what is missing
    edit_config(folder, **{part: changes})
    with pytest.raises(FormatError, match=rf"do not fit its config\.json:(\n.*)*{message}"):
        CLIPModel.from_pretrained(folder)


def test_a_ternary_weight_where_none_can_be(folder: Path, packed_folder: PackedFolder) -> None:
    norm = "text_model.final_layer_norm.weight"
    codes = {f"{norm}{CODES}": torch.full((7,), 121, dtype=torch.uint8), f"{norm}{SCALE}": torch.ones(1, 1)}
    rewrite(folder, codes | {norm: None}, shapes=shapes_of(folder) | {norm: [32]})
    with pytest.raises(FormatError, match=rf"{norm} is of a LayerNorm, which cannot keep it packed"):
        CLIPModel.from_pretrained(folder)


def shapes_of(folder: Path) -> dict[str, list[int]]:
    from tclip.packed.read import read_packed

    return read_packed(folder).header.shapes


def test_a_class_that_has_nothing_of_the_file(packed_folder: PackedFolder) -> None:
    # transformers does not find AltCLIP's text tower in a dense folder either, and would make one up
    with pytest.raises(FormatError, match="holds no weight of a AltCLIPTextModel: load the model whole"):
        AltCLIPTextModel.from_pretrained(packed_folder("altclip"))


def test_a_state_dict(packed_folder: PackedFolder) -> None:
    model = CLIPVisionModel.from_pretrained(packed_folder())
    with pytest.raises(FormatError, match="cannot be loaded from a state dict"):
        CLIPVisionModel.from_pretrained(None, config=model.config, state_dict=model.state_dict())


def test_a_dense_folder_is_not_quantized_on_the_way(tiny_folder: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match="does require the model to be pre-quantized"):
        CLIPModel.from_pretrained(tiny_folder("clip"), quantization_config=TclipConfig())
