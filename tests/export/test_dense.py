"""The ordinary bfloat16 folder: the bits of its weights, and what else is in it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tclip.export.dense import export_dense, open_dense
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.ternary.tensor import TernaryTensor
from tests.ternarizing import ternarized


@pytest.fixture
def clip(tiny_folder: Callable[[str], Path]) -> Clip:
    return ternarized(load_dense(str(tiny_folder("clip"))))


def test_a_ternary_weight_is_its_float32_product_rounded_once(clip: Clip, tmp_path: Path) -> None:
    export_dense(clip, tmp_path / "dense")
    stored = load_file(tmp_path / "dense" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    assert stored.keys() == clip.model.state_dict().keys()
    differs = False
    for name, ternary in clip.ternary.items():
        rows, groups = ternary.scale_RG.shape
        product = ternary.codes.reshape(rows, groups, -1).float() * ternary.scale_RG[..., None].float()
        assert torch.equal(stored[name], product.reshape(ternary.codes.shape).to(torch.bfloat16)), name
        differs |= not torch.equal(stored[name].float(), product.reshape(ternary.codes.shape))
    assert differs  # else the test would not see whether anything was rounded
    for name in stored.keys() - clip.ternary.keys():
        assert torch.equal(stored[name], clip.model.state_dict()[name].to(torch.bfloat16)), name


def test_no_other_precision_comes_between(clip: Clip, tmp_path: Path) -> None:
    # rounded to float16 first, this would lie half way between two bfloat16 and become 1
    name, scale = "text_projection.weight", 1 + 2**-8 + 2**-13
    codes = clip.ternary[name].codes
    clip.ternary[name] = TernaryTensor(codes, torch.full((len(codes), 1), scale))
    export_dense(clip, tmp_path / "dense")
    stored = load_file(tmp_path / "dense" / "model.safetensors")[name]
    assert torch.equal(stored.float(), codes.float() * (1 + 2**-7))


def test_codes_and_scales_count_not_the_dense_weights_in_memory(clip: Clip, tmp_path: Path) -> None:
    name = "text_projection.weight"
    with torch.no_grad():
        clip.model.get_parameter(name).zero_()
    export_dense(clip, tmp_path / "dense")
    stored = load_file(tmp_path / "dense" / "model.safetensors")
    assert torch.equal(stored[name], clip.ternary[name].dense().to(torch.bfloat16))


def test_the_config_names_bfloat16_and_no_quantization(clip: Clip, tmp_path: Path) -> None:
    files = export_dense(clip, tmp_path / "dense")
    config = json.loads((tmp_path / "dense" / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["architectures"] == ["CLIPModel"]
    parts = (config, config["text_config"], config["vision_config"])
    assert {part["dtype"] for part in parts} == {"bfloat16"}
    assert {"tokenizer.json", "preprocessor_config.json"} < {file.path.name for file in files}
    assert files[0].path.name == "model.safetensors"
    assert all(file.path.stat().st_size == file.num_bytes for file in files)


# the others are read back in test_compressed.py, through the same writer
@pytest.mark.parametrize("family", ["siglip", "chinese_clip", "altclip", "metaclip_2"])
def test_families_are_read_back(family: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    clip = ternarized(load_dense(str(tiny_folder(family))))
    export_dense(clip, tmp_path / "dense")
    opened = open_dense(tmp_path / "dense", tmp_path)
    for name, tensor in clip.model.state_dict().items():
        assert torch.equal(opened.model.state_dict()[name], tensor.to(torch.bfloat16).float()), name
    assert (
        opened.tokenize(["a red dog"])["input_ids"].tolist()
        == clip.tokenize(["a red dog"])["input_ids"].tolist()
    )


def test_the_clip_is_left_untouched(clip: Clip, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in clip.model.state_dict().items()}
    config = clip.model.config.to_dict()
    export_dense(clip, tmp_path / "dense")
    assert all(torch.equal(clip.model.state_dict()[name], tensor) for name, tensor in before.items())
    assert clip.model.config.to_dict() == config


def test_failure_keeps_the_old_folder(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_dense(clip, tmp_path / "dense")
    before = {path.name: path.read_bytes() for path in (tmp_path / "dense").iterdir()}

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with torch.no_grad():
        clip.model.get_parameter("logit_scale").add_(1)
    monkeypatch.setattr(clip.image_processor, "save_pretrained", full)
    with pytest.raises(OSError, match="No space"):
        export_dense(clip, tmp_path / "dense")
    assert {path.name: path.read_bytes() for path in (tmp_path / "dense").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["dense"]
