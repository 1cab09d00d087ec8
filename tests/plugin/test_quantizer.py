"""Stock transformers loads packed folders, keeps them packed, and answers as tclip.load does."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from torch import nn
from transformers import AutoModel, CLIPModel, CLIPTextModel, CLIPVisionModelWithProjection, SiglipModel

import tclip
from tclip.models.families import FAMILIES
from tclip.packed.read import read_packed
from tclip.plugin.layers import PackedLayer
from tclip.plugin.replace import packed_layers
from tests.hub_server import HubServer
from tests.plugin.conftest import PackedFolder, embedded
from tests.tiny import FAMILY_NAMES

VARIANTS: list[dict[str, Any]] = [
    {"family": "clip", "scale": "tensor", "preset": "ffn"},
    {"family": "siglip", "scale": "group:4", "dtype": "float32"},
    {"family": "siglip", "scale": "tensor", "activations": "int8"},
    {"family": "chinese_clip", "scale": "group:4", "activations": "int8", "dtype": "float32"},
    {"family": "siglip", "mixed": True, "activations": "int8"},
]


def agree(folder: Path, images: list[Image.Image]) -> Any:
    """Check that a folder answers in both ways alike, and return the model of transformers."""
    reference = tclip.load(folder)
    model, report = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    assert type(model).__name__ == FAMILIES[model.config.model_type].model_class
    assert {name for name, _ in packed_layers(model)} == set(reference.coded)
    found, expected = embedded(replace(reference, model=model), images), embedded(reference, images)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)
    return model


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_every_family_answers_as_tclip_does(
    packed_folder: PackedFolder, images: list[Image.Image], family: str
) -> None:
    agree(packed_folder(family), images)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())))
def test_every_kind_of_weights_answers_as_tclip_does(
    packed_folder: PackedFolder, images: list[Image.Image], variant: dict[str, Any]
) -> None:
    model = agree(packed_folder(**variant), images)
    hooked = {name for name, layer in packed_layers(model) if layer._forward_pre_hooks}
    embeddings = {name for name, layer in packed_layers(model) if isinstance(layer, nn.Embedding)}
    is_int8 = variant.get("activations") == "int8"
    ternary = {name for name, layer in packed_layers(model) if layer.base == 3}
    assert hooked == (ternary - embeddings if is_int8 else set())


def test_rounding_activations_matters_here(packed_folder: PackedFolder, images: list[Image.Image]) -> None:
    # else the tests above would not notice that it is left out
    rounded = AutoModel.from_pretrained(packed_folder("siglip", "tensor", activations="int8"))
    plain = AutoModel.from_pretrained(packed_folder("siglip", "tensor"))
    clip = tclip.load(packed_folder("siglip", "tensor"))
    one, two = (embedded(replace(clip, model=model), images)[0] for model in (rounded, plain))
    assert (one - two).abs().max() > 1e-4


@pytest.mark.parametrize("scale", ["row", "group:16"])
def test_weights_stay_packed_in_memory(packed_folder: PackedFolder, scale: str) -> None:
    folder = packed_folder(scale=scale)
    model, stored = CLIPModel.from_pretrained(folder), read_packed(folder)
    before = model.get_memory_footprint()
    model(input_ids=torch.tensor([[1, 2, 3]]), pixel_values=torch.randn(1, 3, 32, 32))
    num_ternary = sum(tensor.codes.numel() for tensor in stored.ternary.values())
    num_scales = sum(tensor.scale_RG.numel() for tensor in stored.ternary.values())
    num_floats = sum(tensor.numel() for tensor in stored.floats.values())
    positions = sum(buffer.nbytes for name, buffer in model.named_buffers() if name.endswith("position_ids"))
    codes = model.get_memory_footprint() - 2 * num_scales - 4 * num_floats - positions
    assert 1.6 <= 8 * codes / num_ternary < 1.61
    assert model.get_memory_footprint() == before
    floats = dict(model.named_parameters()).keys()
    assert floats == stored.floats.keys()
    assert all(layer.stand_in is None for _, layer in packed_layers(model))


def test_the_dtype_that_is_asked_for(packed_folder: PackedFolder, images: list[Image.Image]) -> None:
    folder = packed_folder()
    clip = tclip.load(folder)
    assert AutoModel.from_pretrained(folder).dtype == torch.float32
    model = AutoModel.from_pretrained(folder, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    pixels, ids = clip.preprocess(images), clip.tokenize(["a red dog"])
    with torch.no_grad():
        image_BE = model.get_image_features(**pixels).pooler_output
        text_BE = model.get_text_features(**ids).pooler_output
    assert image_BE.dtype == text_BE.dtype == torch.bfloat16
    assert torch.cosine_similarity(image_BE.float(), clip.embed_images(pixels)).min() > 0.9995
    assert torch.cosine_similarity(text_BE.float(), clip.embed_texts(ids)).min() > 0.9995


@pytest.mark.parametrize(
    ("model_class", "family", "part"),
    [
        (CLIPVisionModelWithProjection, "clip", "image"),
        (CLIPTextModel, "clip", "text"),
        (transformers.SiglipVisionModel, "siglip", "image"),
    ],
)
def test_a_tower_alone(packed_folder: PackedFolder, model_class: Any, family: str, part: str) -> None:
    folder = packed_folder(family)
    tower, report = model_class.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert {p.dtype for p in tower.parameters()} == {torch.float32}
    layers = [module for module in tower.modules() if isinstance(module, PackedLayer)]
    whole = AutoModel.from_pretrained(folder)
    prefix = "vision_model." if part == "image" else "text_model."
    assert len(layers) >= len([name for name, _ in packed_layers(whole) if name.startswith(prefix)]) > 10
    with torch.no_grad():
        if part == "image":
            pixels = torch.randn(2, 3, 32, 32)
            found, expected = tower(pixels), whole.get_image_features(pixels)
        else:
            ids = torch.tensor([[3, 4, 5]])
            found, expected = tower(ids), whole.text_model(ids)
    assert torch.equal(found[0] if "image_embeds" in found else found.pooler_output, expected.pooler_output)


def test_a_head_on_top_is_the_users_to_train(packed_folder: PackedFolder) -> None:
    model, report = transformers.CLIPForImageClassification.from_pretrained(
        packed_folder(), output_loading_info=True
    )
    assert report["missing_keys"] == {"classifier.weight", "classifier.bias"}
    model(torch.randn(1, 3, 32, 32)).logits.sum().backward()
    assert model.classifier.weight.grad is not None


def test_from_the_hub(packed_folder: PackedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubServer(models={"org/packed": packed_folder()}) as hub:
        hub.connect(monkeypatch, tmp_path / "cache")
        found = CLIPModel.from_pretrained("org/packed").state_dict()
    expected = CLIPModel.from_pretrained(packed_folder()).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_a_device_map_and_parts_on_disk(packed_folder: PackedFolder, tmp_path: Path) -> None:
    places = {
        "vision_model": "cpu",
        "visual_projection": "cpu",
        "text_projection": "cpu",
        "text_model": "disk",
    }
    with pytest.warns(UserWarning, match="logit_scale"):
        model = CLIPModel.from_pretrained(
            packed_folder(), device_map={**places, "logit_scale": "cpu"}, offload_folder=tmp_path
        )
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        found = model.get_text_features(ids).pooler_output
        expected = CLIPModel.from_pretrained(packed_folder()).get_text_features(ids).pooler_output
    torch.testing.assert_close(found, expected)


def test_a_deep_copy_answers_alike(packed_folder: PackedFolder) -> None:
    model = CLIPModel.from_pretrained(packed_folder(activations="int8"))
    twin, pixels = copy.deepcopy(model), torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(twin.vision_model(pixels)[0], model.vision_model(pixels)[0])


def test_it_can_be_made_dense(packed_folder: PackedFolder, tmp_path: Path) -> None:
    folder = packed_folder()
    model, clip = CLIPModel.from_pretrained(folder), tclip.load(folder)
    model.dequantize()
    state = model.state_dict()
    assert state.keys() == clip.model.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in clip.model.state_dict().items())
    model.save_pretrained(tmp_path)
    assert "quantization_config" not in (tmp_path / "config.json").read_text()
    again = CLIPModel.from_pretrained(tmp_path)
    assert type(again.text_projection) is nn.Linear
    assert torch.equal(again.text_projection.weight, clip.model.text_projection.weight)


def test_training_is_not_offered(packed_folder: PackedFolder) -> None:
    model = CLIPModel.from_pretrained(packed_folder())
    assert not model.hf_quantizer.is_trainable
    assert model.hf_quantizer.is_serializable()


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_the_zero_shot_pipeline(
    tmp_path: Path, images: list[Image.Image], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tclip.models.load import load_dense
    from tclip.packed.write import write_packed
    from tests import tiny
    from tests.ternarizing import ternarized

    monkeypatch.setattr(tiny, "MAX_TOKENS", 64)  # the pipeline pads texts of SigLIP to so many
    tiny.tiny_clip_folder(tmp_path / "dense", family)
    write_packed(ternarized(load_dense(str(tmp_path / "dense"))), tmp_path / "packed")
    labels, clip = ["red dog", "cat", "tree"], tclip.load(tmp_path / "packed")
    classify = transformers.pipeline("zero-shot-image-classification", model=str(tmp_path / "packed"))
    assert isinstance(classify.model, CLIPModel if family == "clip" else SiglipModel)
    assert [*packed_layers(classify.model)]
    with torch.no_grad():
        texts = [f"This is a photo of {label}." for label in labels]
        logits = clip.logits(
            clip.embed_images(clip.preprocess(images[:1])), clip.embed_texts(clip.tokenize(texts))
        )
    expected = logits[0].softmax(0) if family == "clip" else logits[0].sigmoid()
    found = {answer["label"]: answer["score"] for answer in classify(images[0], candidate_labels=labels)}
    assert [found[label] for label in labels] == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_folder_without_dtype_in_its_towers_is_not_written(packed_folder: PackedFolder) -> None:
    # transformers would compute in float16, which floats are stored in
    config = json.loads((packed_folder() / "config.json").read_text())
    assert [part["dtype"] for part in (config, config["vision_config"], config["text_config"])] == [
        "float32"
    ] * 3


def test_what_a_later_tclip_adds_is_kept(packed_folder: PackedFolder, tmp_path: Path) -> None:
    folder = shutil.copytree(packed_folder(), tmp_path / "packed")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"]["recipe"] = {"name": "best"}
    (folder / "config.json").write_text(json.dumps(config))
    CLIPModel.from_pretrained(folder).save_pretrained(tmp_path / "again")
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert again["quantization_config"] == config["quantization_config"]
