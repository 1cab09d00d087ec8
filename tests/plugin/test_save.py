"""save_pretrained writes the packed form again, bit for bit, and every reader of the format takes it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer, CLIPModel, CLIPVisionModel, SiglipModel

import tclip
import tclip.runtime
from tclip.errors import FormatError
from tclip.packed.format import parse_header
from tclip.packed.read import read_packed
from tests.hub_server import HubServer, User
from tests.plugin.conftest import PackedFolder
from tests.tiny import FAMILY_NAMES


def stored(folder: Path) -> tuple[dict[str, torch.Tensor], Any, Any]:
    """Tensors, header and config.json of a folder."""
    path = folder / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        header = parse_header(file.metadata(), str(path))
        assert file.metadata()["format"] == "pt"
    return load_file(path), header, json.loads((folder / "config.json").read_text())


def check_same(one: Path, two: Path) -> None:
    (tensors, header, config), (others, *rest) = stored(one), stored(two)
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert others[name].dtype == tensor.dtype, name
        assert torch.equal(others[name], tensor), name
    assert rest == [header, config]


@pytest.mark.parametrize(
    ("family", "variant"),
    [
        *((family, {}) for family in FAMILY_NAMES),
        ("siglip", {"scale": "group:4", "dtype": "float32"}),
        ("siglip", {"mixed": True}),
    ],
    ids=[*FAMILY_NAMES, "float32", "mixed"],
)
def test_what_was_loaded_is_saved_bit_for_bit(
    packed_folder: PackedFolder, tmp_path: Path, family: str, variant: dict[str, Any]
) -> None:
    folder = packed_folder(family, **variant)
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path)
    check_same(folder, tmp_path)
    read_packed(tmp_path)


def test_every_reader_takes_it(packed_folder: PackedFolder, tmp_path: Path) -> None:
    folder = packed_folder(activations="int8")
    CLIPModel.from_pretrained(folder).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    clip = tclip.load(tmp_path)
    assert clip.activations == "int8"
    assert clip.base == tclip.load(folder).base
    assert clip.ternary.keys() == read_packed(folder).ternary.keys()
    found = tclip.runtime.load(tmp_path).encode_text(["a red dog"])
    assert found == pytest.approx(tclip.runtime.load(folder).encode_text(["a red dog"]))


def test_codes_and_scales_outlive_a_cast(packed_folder: PackedFolder, tmp_path: Path) -> None:
    CLIPModel.from_pretrained(packed_folder(), dtype=torch.bfloat16).to(torch.float32).save_pretrained(
        tmp_path
    )
    before, after = read_packed(packed_folder()), read_packed(tmp_path)
    for name, tensor in before.ternary.items():
        assert torch.equal(after.ternary[name].codes, tensor.codes)
        assert torch.equal(after.ternary[name].scale_RG, tensor.scale_RG)
    for name, floats in before.floats.items():
        assert torch.equal(after.floats[name], floats.bfloat16().half().float()), name


def test_what_was_changed_is_saved_as_it_is(packed_folder: PackedFolder, tmp_path: Path) -> None:
    model = CLIPModel.from_pretrained(packed_folder())
    with torch.no_grad():
        model.logit_scale.fill_(3.5)
    model.save_pretrained(tmp_path)
    assert read_packed(tmp_path).floats["logit_scale"] == 3.5


def test_shards_are_saved_and_loaded(packed_folder: PackedFolder, tmp_path: Path) -> None:
    model = CLIPModel.from_pretrained(packed_folder())
    model.save_pretrained(tmp_path, max_shard_size="8KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    found, expected = CLIPModel.from_pretrained(tmp_path).state_dict(), model.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_shards_of_two_models_are_not_mixed(packed_folder: PackedFolder, tmp_path: Path) -> None:
    for name, folder in (("one", packed_folder()), ("two", packed_folder(scale="tensor", preset="ffn"))):
        CLIPModel.from_pretrained(folder).save_pretrained(tmp_path / name, max_shard_size="8KB")
    shard = next((tmp_path / "one").glob("model-00001-of-*.safetensors"))
    shard.write_bytes(next((tmp_path / "two").glob("model-00001-of-*.safetensors")).read_bytes())
    with pytest.raises(FormatError, match=r"The files in .*one belong to different models"):
        CLIPModel.from_pretrained(tmp_path / "one")


def test_a_tower_alone_is_saved_and_loaded(packed_folder: PackedFolder, tmp_path: Path) -> None:
    tower = CLIPVisionModel.from_pretrained(packed_folder())
    tower.save_pretrained(tmp_path)
    again, report = CLIPVisionModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(pixels)[0], tower(pixels)[0])


def test_what_the_file_cannot_hold_is_named(packed_folder: PackedFolder, tmp_path: Path) -> None:
    model = SiglipModel.from_pretrained(packed_folder("siglip"))
    with torch.no_grad():
        model.logit_bias.fill_(1e6)
    with pytest.raises(FormatError, match=r"float16 cannot hold .*\n  logit_bias$"):
        model.save_pretrained(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_what_is_offloaded_is_named(packed_folder: PackedFolder, tmp_path: Path) -> None:
    model = CLIPModel.from_pretrained(packed_folder())
    model.text_projection.to("meta")
    message = (
        r"Parts of the model are offloaded.*\n  text_projection\.weight_codes\n  text_projection\.weight_s"
    )
    with pytest.raises(FormatError, match=message):
        model.save_pretrained(tmp_path)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the Hub's own client
def test_push_to_hub(packed_folder: PackedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = packed_folder()
    with HubServer() as hub:
        hub.connect(monkeypatch, tmp_path / "cache")
        hub.log_in(monkeypatch, User("me"))
        CLIPModel.from_pretrained(folder).push_to_hub("me/packed")
        AutoTokenizer.from_pretrained(folder).push_to_hub("me/packed")
        CLIPModel.from_pretrained("me/packed").save_pretrained(tmp_path / "again")
        AutoTokenizer.from_pretrained("me/packed")
    check_same(folder, tmp_path / "again")
