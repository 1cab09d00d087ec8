"""A folder in open_clip's layout through tclip: found, inspected, made ternary, packed, loaded again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tclip.cli.app import main
from tclip.errors import ModelError
from tclip.models.fetch import fetch, fetch_config, local_weight_bytes
from tclip.models.load import load_dense
from tclip.models.open_clip import towers
from tclip.packed.load import load, load_packed
from tclip.packed.write import write_packed
from tests.models.open_clip_reference import (
    NATIVE,
    SIGLIP,
    TRUNK,
    TRUNK_WIDTHS,
    WEIGHTS,
    open_clip_folder,
)
from tests.ternarizing import ternarized
from tests.tiny import edit_json

TEXTS = ["a photo of one cat", "Two red_dogs, and one ball."]
TIMM = {"architecture": "vit_base_patch32_clip_224", "num_classes": 512, "pretrained_cfg": {}}


@pytest.fixture(autouse=True)
def _tiny_trunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(towers.SIGLIP_TRUNKS, TRUNK, "gelu")
    monkeypatch.setitem(towers.SIGLIP_WIDTHS, "tiny", TRUNK_WIDTHS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny CLIP in open_clip's layout."""
    open_clip_folder(tmp_path / "open")
    return tmp_path / "open"


@pytest.fixture
def both(folder: Path, tiny_folder: Any, tmp_path: Path) -> Path:
    """A folder that holds two different models, one in each layout."""
    made = shutil.copytree(tiny_folder("clip"), tmp_path / "both")
    for name in ("open_clip_config.json", WEIGHTS):
        shutil.copy(folder / name, made / name)
    return made


@torch.no_grad()
@pytest.mark.parametrize(
    ("base", "changes"),
    [
        (NATIVE, {}),
        (NATIVE, {"text_cfg.pool_type": "eos", "text_cfg.eos_id": 5, "quick_gelu": True}),
        (SIGLIP, {}),
    ],
    ids=["clip", "metaclip_2", "siglip"],
)
def test_a_packed_folder_of_one_is_an_ordinary_packed_folder(
    tmp_path: Path, base: dict[str, Any], changes: dict[str, Any]
) -> None:
    open_clip_folder(tmp_path / "open", base, changes)
    dense = load_dense(str(tmp_path / "open"))
    before = dense.image_processor.to_dict()
    clip = ternarized(dense)
    write_packed(clip, tmp_path / "packed")
    packed = load_packed(tmp_path / "packed")
    assert not (tmp_path / "packed" / "open_clip_config.json").exists()
    assert packed.base and packed.base.commit == clip.source.commit
    # one preprocessing for student and teacher, which are compared by it
    assert packed.image_processor.to_dict() == before
    assert packed.tokenizer.get_vocab() == clip.tokenizer.get_vocab()
    assert packed.max_tokens == clip.max_tokens
    ids = clip.tokenize(TEXTS)["input_ids"]
    assert torch.equal(packed.tokenize(TEXTS)["input_ids"], ids)
    expected = clip.embed_texts({"input_ids": ids})
    torch.testing.assert_close(packed.embed_texts({"input_ids": ids}), expected, atol=1e-6, rtol=0)


def test_inspect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder), "--recipe", "q-ffn", "--json"]) == 0
    weights, sizes = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert {row[1] for row in weights["rows"] if row[4] == "ternary"} == {"ffn"}
    assert [WEIGHTS, (folder / WEIGHTS).stat().st_size] in sizes["rows"]


def test_inspect_refuses_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads((folder / "open_clip_config.json").read_text())
    edit_json(folder / "open_clip_config.json", model_cfg={**document["model_cfg"], "multimodal_cfg": {}})
    assert main(["inspect", str(folder)]) == 2
    assert "multimodal_cfg: CoCa's decoder" in capsys.readouterr().err


def test_any_loader(folder: Path) -> None:
    assert load(folder).model.config.model_type == "clip"
    assert local_weight_bytes(str(folder)) == (folder / WEIGHTS).stat().st_size


def test_the_commit_follows_the_config(folder: Path) -> None:
    before = fetch(str(folder)).source.commit
    edit_json(folder / "open_clip_config.json", preprocess_cfg={"resize_mode": "squash"})
    assert fetch(str(folder)).source.commit != before


def test_of_both_layouts_transformers_wins(both: Path) -> None:
    files = fetch(str(both))
    assert files.open_clip is None
    assert load_dense(str(both)).model.config.projection_dim == files.config["projection_dim"]


def test_without_weights_it_does_not_win(both: Path, folder: Path) -> None:
    (both / "model.safetensors").unlink()
    shutil.copy(folder / "tokenizer.json", both)
    ours, theirs = (load_dense(str(each)).model.state_dict() for each in (both, folder))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_nor_with_the_config_of_a_timm_tower(both: Path, folder: Path) -> None:
    (both / "config.json").write_text(json.dumps(TIMM))
    assert fetch(str(both)).open_clip
    (both / "open_clip_config.json").unlink()
    with pytest.raises(ModelError, match=r"names no model_type in config\.json"):
        fetch(str(both))


def test_the_name_of_the_hubs_conversion(folder: Path) -> None:
    size = (folder / WEIGHTS).stat().st_size
    (folder / WEIGHTS).rename(folder / "open_clip_pytorch_model.safetensors")
    load_dense(str(folder))
    (folder / WEIGHTS).write_bytes(b"12345")
    assert local_weight_bytes(str(folder)) == 5  # of two files with the same weights, open_clip's first name
    assert size > 5


def test_pickled_weights_alone(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "open_clip_pytorch_model.bin")
    call = rf'save_file\(open_clip\.create_model\("local-dir:{folder}"\)\.state_dict\(\), "open_clip_model'
    with pytest.raises(ModelError, match=rf"only pickled weights .*convert them once .*{call}"):
        load_dense(str(folder))


def test_no_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelError, match=r"lacks open_clip_model\.safetensors: give a folder with all"):
        load_dense(str(folder))


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "is not valid JSON"), ("[1]", "does not hold a JSON object")]
)
def test_a_damaged_config(folder: Path, text: str, sentence: str) -> None:
    (folder / "open_clip_config.json").write_text(text)
    with pytest.raises(ModelError, match=rf"open_clip_config\.json {sentence}.*: fetch the model again"):
        fetch_config(str(folder))


def test_a_folder_above_names_it(folder: Path) -> None:
    with pytest.raises(ModelError, match=f"the folder is no model but holds some, give {folder}"):
        fetch_config(str(folder.parent))
