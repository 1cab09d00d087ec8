"""GGUF files, read back with the package gguf."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import CLIPConfig, CLIPModel

from tclip.errors import FormatError, ModelError, UserError
from tclip.export.gguf import export_gguf, open_gguf
from tclip.export.gguf_metadata import license_of
from tclip.export.gguf_names import gguf_names
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.models.source import ModelSource
from tclip.packed.write import write_packed
from tests.ternarizing import ternarized

gguf = pytest.importorskip("gguf", reason="needs the extra: pip install 'tclip[gguf]'")

# the names of a model with one layer a tower, as clip.cpp's converter writes them
LAYER = [
    f"{part}.{ending}"
    for part in ("attn_q", "attn_k", "attn_v", "attn_out", "ln1", "ln2", "ffn_down", "ffn_up")
    for ending in ("weight", "bias")
]
TOWERS = ["v.class_embd", "v.patch_embd.weight", "v.position_embd.weight", "t.token_embd.weight"]
TOWERS += ["t.position_embd.weight", "v.pre_ln.weight", "v.pre_ln.bias", "v.post_ln.weight", "v.post_ln.bias"]
TOWERS += ["t.post_ln.weight", "t.post_ln.bias", "visual_projection.weight", "text_projection.weight"]
NAMES = {*TOWERS, *(f"{tower}.blk.0.{name}" for tower in "vt" for name in LAYER)}


def clip_of_widths(clip: Clip, width: int = 256, scale: str = "row", **text: Any) -> Clip:
    """A ternary CLIP with one layer a tower; `text` changes the text tower's config."""
    tower = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 1}
    config = CLIPConfig(
        text_config={**clip.model.config.text_config.to_dict(), **tower, **text},
        vision_config={**clip.model.config.vision_config.to_dict(), **tower},
        projection_dim=width,
    )
    torch.manual_seed(0)
    source = ModelSource("maker/some-clip", None, "c0ffee")
    return ternarized(replace(clip, model=CLIPModel(config).eval(), ternary={}, source=source), scale)


@pytest.fixture(scope="module")
def tiny(tiny_folder: Callable[[str], Path]) -> Clip:
    return load_dense(str(tiny_folder("clip")))


@pytest.fixture(scope="module")
def clip(tiny: Clip) -> Clip:
    return clip_of_widths(tiny)


@pytest.fixture(scope="module")
def packed(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "packed"
    write_packed(clip, folder)
    return folder


@pytest.fixture(scope="module")
def written(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each kind."""
    folders = {kind: tmp_path_factory.mktemp(kind) / "gguf" for kind in ("tq2_0", "tq1_0", "f16")}
    for kind, folder in folders.items():
        export_gguf(clip, folder, kind, license="mit")
    return folders


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


@pytest.mark.parametrize("kind", ["tq2_0", "tq1_0", "f16"])
def test_numbers_are_the_models_exactly(kind: str, clip: Clip, written: dict[str, Path]) -> None:
    parameter_of = {other: name for name, other in gguf_names(clip.model.state_dict()).items()}
    tensors = gguf.GGUFReader(only(written[kind])).tensors
    assert {tensor.name for tensor in tensors} == NAMES
    assert len(tensors) == len(NAMES) == 2 * 16 + 13
    for tensor in tensors:
        name = parameter_of[tensor.name]
        expected = clip.model.state_dict()[name].numpy()
        found = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(found.astype(np.float16), expected.astype(np.float16)), tensor.name
        wide = "F16" if kind == "f16" or name not in clip.ternary or expected.ndim > 2 else kind.upper()
        assert tensor.tensor_type.name == ("F32" if expected.ndim == 1 else wide), tensor.name


@pytest.mark.parametrize(("kind", "bits"), [("tq2_0", 66 / 32), ("tq1_0", 54 / 32)])
def test_a_ternary_weight_takes_the_bits_of_its_blocks(
    kind: str, bits: float, written: dict[str, Path]
) -> None:
    tensors = [t for t in gguf.GGUFReader(only(written[kind])).tensors if t.tensor_type.name == kind.upper()]
    assert len(tensors) == 2 * 6 + 3  # the layers, the token table, two projections
    for tensor in tensors:
        assert 8 * tensor.n_bytes / tensor.n_elements == bits


@pytest.mark.parametrize("kind", ["tq2_0", "tq1_0", "f16"])
def test_an_opened_file_is_the_packed_model(
    kind: str, clip: Clip, packed: Path, written: dict[str, Path]
) -> None:
    for path in (written[kind], only(written[kind])):
        opened = open_gguf(path, packed)
        for name, tensor in clip.model.state_dict().items():
            assert torch.equal(opened.model.state_dict()[name], tensor), name
    ids = clip.tokenize(["a red dog"])
    with torch.no_grad():
        assert torch.equal(opened.embed_texts(ids), clip.embed_texts(ids))


def test_the_metadata_are_clip_cpps(clip: Clip, written: dict[str, Path]) -> None:
    found = fields(only(written["tq2_0"]))
    expected = {
        "general.architecture": "clip",
        "general.file_type": gguf.LlamaFileType.MOSTLY_TQ2_0,
        "general.description": "two-tower CLIP model",
        "general.license": "mit",
        "general.base_model.0.organization": "maker",
        "general.base_model.0.repo_url": "https://huggingface.co/maker/some-clip",
        "general.base_model.0.version": "c0ffee",
        "general.source.repo_url": "https://huggingface.co/maker/some-clip",
        "clip.has_text_encoder": True,
        "clip.has_vision_encoder": True,
        "clip.use_gelu": False,
        "clip.text.context_length": 20,
        "clip.vision.image_size": 32,
        "clip.vision.patch_size": 8,
        "tokenizer.ggml.bos_token_id": 632,
        "tokenizer.ggml.eos_token_id": 633,
        "tclip.activations": "float",
    }
    for tower in ("clip.text", "clip.vision"):
        expected |= {f"{tower}.embedding_length": 256, f"{tower}.feed_forward_length": 512}
        expected |= {f"{tower}.block_count": 1, f"{tower}.attention.head_count": 2}
        expected |= {f"{tower}.projection_dim": 256}
    assert {key: found[key] for key in expected} == expected
    assert found["clip.text.attention.layer_norm_epsilon"] == pytest.approx(1e-5)
    assert found["clip.vision.image_mean"] == pytest.approx(clip.image_processor.image_mean)
    assert found["clip.vision.image_std"] == pytest.approx(clip.image_processor.image_std)
    assert json.loads(found["tclip.preprocessor_config"])["crop_size"] == {"height": 32, "width": 32}
    assert found["tclip.logit_scale"] == clip.model.logit_scale.item()


def test_the_tokenizer_is_in_the_file(clip: Clip, written: dict[str, Path]) -> None:
    found = fields(only(written["tq2_0"]))
    tokens = found["tokenizer.ggml.tokens"]
    assert tokens == clip.tokenizer.convert_ids_to_tokens(range(634))
    kinds = found["tokenizer.ggml.token_type"]
    assert [tokens[i] for i, kind in enumerate(kinds) if kind == gguf.TokenType.CONTROL] == [
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    assert all("".join(pair.split(" ")) in tokens for pair in found["tokenizer.ggml.merges"])
    text = "A red dog's house, 2 cats"
    whole = Tokenizer.from_str(found["tokenizer.huggingface.json"])
    assert whole.encode(text).ids == clip.tokenizer(text)["input_ids"]


def test_ids_without_a_token_are_marked_unused(tiny: Clip, tmp_path: Path) -> None:
    export_gguf(clip_of_widths(tiny, vocab_size=640), tmp_path / "gguf")
    found = fields(only(tmp_path / "gguf"))
    assert found["tokenizer.ggml.tokens"][633:] == [
        "<|endoftext|>",
        *(f"[unused{i}]" for i in range(634, 640)),
    ]
    assert found["tokenizer.ggml.token_type"][634:] == [gguf.TokenType.UNUSED] * 6


def test_a_vit_b_32_has_the_397_tensors_by_which_clip_cpp_knows_it() -> None:
    with torch.device("meta"):
        names = gguf_names(CLIPModel(CLIPConfig()).state_dict())
    assert len(set(names.values())) == 397
    assert max(map(len, names.values())) < 64  # ggml's longest name


def test_an_unnamed_license_is_not_invented(clip: Clip, tmp_path: Path) -> None:
    export_gguf(clip, tmp_path / "gguf")
    assert "general.license" not in fields(only(tmp_path / "gguf"))
    assert license_of(tmp_path) is None
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    assert license_of(tmp_path) == "apache-2.0"


def test_widths_that_do_not_fit_are_refused_all_at_once(tiny: Clip, tmp_path: Path) -> None:
    narrow = clip_of_widths(tiny, width=192)
    with pytest.raises(ModelError, match="choose --type f16") as raised:
        export_gguf(narrow, tmp_path / "gguf")
    lines = str(raised.value).splitlines()[1:]
    assert len(lines) == 2 * 6 + 3  # 384, the width between fc1 and fc2, does not fit either
    assert "  text_model.embeddings.token_embedding.weight: [634, 192] has rows of 192 weights" in lines
    assert "  vision_model.encoder.layers.*.mlp.fc2.weight: [192, 384] has rows of 384 weights" in lines
    assert not (tmp_path / "gguf").exists()
    export_gguf(narrow, tmp_path / "gguf", "f16")
    assert {t.tensor_type.name for t in gguf.GGUFReader(only(tmp_path / "gguf")).tensors} == {"F16", "F32"}


def test_scales_that_differ_inside_a_block_are_refused(tiny: Clip, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"text_projection\.weight: \[256, 256\] has a scale for every 64"):
        export_gguf(clip_of_widths(tiny, scale="group:64"), tmp_path / "gguf")


def test_numbers_beyond_float16_are_refused(tiny: Clip, tmp_path: Path) -> None:
    large = clip_of_widths(tiny)
    name = "text_model.embeddings.position_embedding.weight"
    with torch.no_grad():
        large.model.get_parameter(name)[0, 0] = 1e6
    with pytest.raises(ModelError, match=name):
        export_gguf(large, tmp_path / "gguf")


@pytest.mark.parametrize("family", ["siglip", "chinese_clip", "metaclip_2"])
def test_other_families_are_refused_by_name(
    family: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=f'"{family}".*only CLIP'):
        export_gguf(ternarized(load_dense(str(tiny_folder(family)))), tmp_path / "gguf")


@pytest.mark.parametrize("act", ["gelu", "relu"])
def test_activations_that_clip_cpp_has_not_are_refused(act: str, tiny: Clip, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"{act} and quick_gelu|quick_gelu and {act}"):
        export_gguf(clip_of_widths(tiny, hidden_act=act), tmp_path / "gguf")


def test_a_later_export_takes_the_place_of_an_earlier(clip: Clip, tmp_path: Path) -> None:
    export_gguf(clip, tmp_path / "gguf", "f16")
    (file,) = export_gguf(clip, tmp_path / "gguf")
    assert only(tmp_path / "gguf") == file.path
    assert file.path.name == "some-clip-TQ2_0.gguf"
    assert file.num_bytes == file.path.stat().st_size


def test_damaged_and_foreign_files_are_refused(clip: Clip, tiny: Clip, packed: Path, tmp_path: Path) -> None:
    export_gguf(clip, tmp_path / "gguf")
    path = only(tmp_path / "gguf")
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"GGUF", b"", b"no GGUF file" * 100):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match="damaged"):
            open_gguf(path, packed)
    other = tmp_path / "other"
    export_gguf(clip_of_widths(tiny, width=512), other)
    with pytest.raises(FormatError, match=r"text_projection\.weight is \[512, 512\] instead of \[256, 256\]"):
        open_gguf(other, packed)


def test_a_folder_must_hold_one_file(packed: Path, written: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no GGUF file"):
        open_gguf(tmp_path, packed)
    for number in (1, 2):
        (tmp_path / f"{number}.gguf").write_bytes(only(written["tq2_0"]).read_bytes())
    with pytest.raises(UserError, match="2 GGUF files"):
        open_gguf(tmp_path, packed)


def test_a_missing_package_is_said(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match=r"pip install 'tclip\[gguf\]'"):
        export_gguf(clip, tmp_path / "gguf")
    assert list(tmp_path.iterdir()) == []
