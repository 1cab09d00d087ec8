"""Roles of every parameter of every family, and what presets and patterns make of them."""

import json
import re
from collections import Counter

import pytest
import torch
from torch import nn
from transformers import AutoModel, CLIPConfig, ViTConfig

from tclip.errors import RecipeError
from tclip.models.fetch import fetch
from tclip.models.load import empty_model
from tclip.models.sites import PRESETS, find_sites, plan_ternarization
from tclip.recipe.quantize import Part, Quantize
from tests.tiny import FAMILY_NAMES

BOTH = ("image", "text")


def quantize(image="all", text="all", scale="row"):
    parts = [Part(preset=part) if isinstance(part, str) else part for part in (image, text)]
    return Quantize(image=parts[0], text=parts[1], scale=scale)


@pytest.fixture(scope="module", params=FAMILY_NAMES)
def model(request, tiny_folder):
    return empty_model(fetch(str(tiny_folder(request.param))), "meta")


@pytest.fixture(scope="module")
def clip_sites(tiny_folder):
    return find_sites(empty_model(fetch(str(tiny_folder("clip"))), "meta"))


@pytest.fixture(scope="module")
def vit_b_16():
    """The sizes of openai/clip-vit-base-patch16: 149.6 million weights, none of them in memory."""
    vision = {"hidden_size": 768, "intermediate_size": 3072, "patch_size": 16, "image_size": 224}
    with torch.device("meta"):
        return AutoModel.from_config(CLIPConfig(vision_config=vision, projection_dim=512))


def test_every_parameter_has_a_tower_a_role_and_a_reason(model):
    sites = find_sites(model)
    assert [site.name for site in sites] == [name for name, _ in model.named_parameters()]
    for site in sites:
        assert site.shape == tuple(model.get_parameter(site.name).shape)
        assert (site.role == "kept") == (site.reason != "")
    joint = {site.name for site in sites if site.tower == "joint"}
    assert joint == {"logit_scale", "logit_bias"} & {name for name, _ in model.named_parameters()}
    for decision in plan_ternarization(sites, quantize()).decisions:
        assert decision.why


def test_all_leaves_only_norms_biases_positions_and_scalars(model):
    plan = plan_ternarization(find_sites(model), quantize())
    kept = [decision.site for decision in plan.decisions if not decision.ternary]
    for site in kept:
        fits = {
            "bias": "bias" in site.name,
            "norm": len(site.shape) == 1 and "norm" in site.name.lower().replace("pre_ln", "norm"),
            "position embedding": "position_embedding" in site.name,
            "type embedding": "token_type_embedding" in site.name,
            "class embedding or other single vector": sum(axis > 1 for axis in site.shape) <= 1,
            "logit scale or bias": site.num_weights == 1,
        }
        assert fits[site.reason], site
    assert not any(site.shape and len(site.shape) == 2 and "embedding" not in site.name for site in kept)


EXPECTED = {
    "clip": {
        "vision_model.embeddings.patch_embedding.weight": "patch",
        "vision_model.encoder.layers.0.self_attn.q_proj.weight": "attn",
        "vision_model.encoder.layers.1.self_attn.out_proj.weight": "attn",
        "vision_model.encoder.layers.1.mlp.fc2.weight": "ffn",
        "text_model.embeddings.token_embedding.weight": "embedding",
        "text_model.embeddings.position_embedding.weight": "kept",
        "vision_model.embeddings.class_embedding": "kept",
        "vision_model.post_layernorm.weight": "kept",
        "visual_projection.weight": "projection",
        "text_projection.weight": "projection",
        "logit_scale": "kept",
    },
    "siglip": {
        "vision_model.head.attention.in_proj_weight": "attn",
        "vision_model.head.attention.in_proj_bias": "kept",
        "vision_model.head.attention.out_proj.weight": "attn",
        "vision_model.head.mlp.fc1.weight": "ffn",
        "vision_model.head.probe": "kept",
        "text_model.head.weight": "projection",
        "logit_bias": "kept",
    },
    "siglip2": {
        "vision_model.embeddings.patch_embedding.weight": "patch",
        "vision_model.embeddings.position_embedding.weight": "kept",
        "vision_model.head.attention.in_proj_weight": "attn",
        "text_model.encoder.layers.0.mlp.fc1.weight": "ffn",
    },
    "chinese_clip": {
        "text_model.encoder.layer.0.attention.self.query.weight": "attn",
        "text_model.encoder.layer.0.attention.output.dense.weight": "attn",
        "text_model.encoder.layer.0.attention.output.LayerNorm.weight": "kept",
        "text_model.encoder.layer.0.intermediate.dense.weight": "ffn",
        "text_model.encoder.layer.0.output.dense.weight": "ffn",
        "text_model.embeddings.word_embeddings.weight": "embedding",
        "text_model.embeddings.token_type_embeddings.weight": "kept",
    },
    "altclip": {
        "text_model.transformation.weight": "projection",
        "text_model.pre_LN.weight": "kept",
        "text_projection.weight": "projection",
    },
    "metaclip_2": {
        "text_model.embeddings.token_embedding.weight": "embedding",
        "vision_model.encoder.layers.0.mlp.fc1.weight": "ffn",
    },
    "vision-text-dual-encoder": {
        "vision_model.embeddings.patch_embeddings.projection.weight": "patch",
        "vision_model.embeddings.cls_token": "kept",
        "vision_model.embeddings.position_embeddings": "kept",
        "vision_model.pooler.dense.weight": "projection",
        "text_model.encoder.layer.1.attention.output.dense.weight": "attn",
        "text_model.encoder.layer.1.output.dense.weight": "ffn",
        "text_model.pooler.dense.weight": "projection",
        "visual_projection.weight": "projection",
    },
}


@pytest.mark.parametrize("family", EXPECTED)
def test_roles(tiny_folder, family):
    sites = find_sites(empty_model(fetch(str(tiny_folder(family))), "meta"))
    roles = {site.name: site.role for site in sites}
    assert {name: roles.get(name) for name in EXPECTED[family]} == EXPECTED[family]


def test_every_layer_of_both_towers_has_the_same_roles(model):
    """Two layers: four attention weights and two feed-forward weights in each, in every family."""
    sites = find_sites(model)
    for tower in BOTH:
        layers = Counter(
            (re.findall(r"\.(\d+)\.", site.name)[0], site.role)
            for site in sites
            if site.tower == tower and site.role != "kept" and re.search(r"layers?\.\d+\.", site.name)
        )
        assert layers == {("0", "attn"): 4, ("0", "ffn"): 2, ("1", "attn"): 4, ("1", "ffn"): 2}


def test_all_is_nearly_everything_of_a_vit_b_16(vit_b_16):
    plan = plan_ternarization(find_sites(vit_b_16), quantize())
    assert sum(decision.site.num_weights for decision in plan.decisions) == 149_620_737
    assert plan.ternary_share >= 0.99


def test_a_shared_weight_is_listed_once(tiny_folder):
    model = empty_model(fetch(str(tiny_folder("clip"))), "meta")
    first, second = model.text_model.encoder.layers
    second.mlp.fc1.weight = first.mlp.fc1.weight
    names = [site.name for site in find_sites(model)]
    assert "text_model.encoder.layers.0.mlp.fc1.weight" in names
    assert "text_model.encoder.layers.1.mlp.fc1.weight" not in names
    weights = sum(parameter.numel() for parameter in model.parameters())
    assert sum(site.num_weights for site in find_sites(model)) == weights


def test_a_convolution_that_cuts_no_patches_is_kept():
    class Tower(nn.Module):
        def __init__(self):
            super().__init__()
            self.vision_model = nn.ModuleDict(
                {
                    "patches": nn.Conv2d(3, 8, 4, 4),
                    "overlap": nn.Conv2d(8, 8, 7, 4),
                    "depth": nn.Conv2d(8, 8, 2, 2, groups=8),
                }
            )

    sites = {site.name: site for site in find_sites(Tower())}
    assert sites["vision_model.patches.weight"].role == "patch"
    for name in ("overlap", "depth"):
        assert sites[f"vision_model.{name}.weight"].reason == "convolution that is no patch embedding"


@pytest.mark.parametrize("image", PRESETS)
@pytest.mark.parametrize("text", PRESETS)
def test_presets_choose_by_role_in_each_tower(clip_sites, image, text):
    if image == text == "none":
        with pytest.raises(RecipeError, match="no weight of either tower would become ternary"):
            plan_ternarization(clip_sites, quantize(image, text))
        return
    plan = plan_ternarization(clip_sites, quantize(image, text))
    chosen = {"image": PRESETS[image], "text": PRESETS[text], "joint": frozenset()}
    for decision in plan.decisions:
        assert decision.ternary == (decision.site.role in chosen[decision.site.tower])


def test_include_and_exclude(clip_sites):
    part = Part(preset="ffn", include=("*.q_proj.weight", "visual_projection*"), exclude="*.layers.0.*")
    plan = plan_ternarization(clip_sites, quantize(text="none", image=part))
    assert plan.ternary_names == [
        "vision_model.encoder.layers.1.self_attn.q_proj.weight",
        "vision_model.encoder.layers.1.mlp.fc1.weight",
        "vision_model.encoder.layers.1.mlp.fc2.weight",
        "visual_projection.weight",
    ]
    why = {decision.site.name: decision.why for decision in plan.decisions}
    assert why["vision_model.encoder.layers.0.mlp.fc1.weight"] == "excluded by the recipe"
    assert why["vision_model.encoder.layers.1.self_attn.q_proj.weight"] == "included by the recipe"
    assert why["vision_model.encoder.layers.1.mlp.fc1.weight"] == "preset ffn"
    assert why["vision_model.encoder.layers.1.self_attn.k_proj.weight"] == "attn is not in preset ffn"
    assert why["logit_scale"] == "logit scale or bias stays float"


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_group_sizes_that_fit(tiny_folder, family):
    sites = find_sites(empty_model(fetch(str(tiny_folder(family))), "meta"))
    plan_ternarization(sites, quantize("linear", "ffn", scale="group:8"))


def test_group_sizes_that_do_not_divide_are_all_listed(clip_sites):
    with pytest.raises(RecipeError) as caught:
        plan_ternarization(clip_sites, quantize("ffn", "none", scale="group:48"))
    lines = str(caught.value).splitlines()
    assert lines[1:] == [
        '  quantize.scale "group:48" does not fit vision_model.encoder.layers.*.mlp.fc1.weight [64, 32] '
        "(2 of them): group size 48 does not divide the row length 32",
        '  quantize.scale "group:48" does not fit vision_model.encoder.layers.*.mlp.fc2.weight [32, 64] '
        "(2 of them): group size 48 does not divide the row length 64",
    ]


def test_every_offender_is_listed_at_once(clip_sites):
    wrong = quantize(
        image=Part(include="*.fc9.weight", exclude=("visual_projection.bias", "text_model.*")),
        text=Part(include="*.bias"),
        scale="group:7",
    )
    with pytest.raises(RecipeError) as caught:
        plan_ternarization(clip_sites, wrong)
    lines = str(caught.value).splitlines()
    assert lines[0] == "The recipe does not fit the model:"
    for start in (
        '  quantize.image.include "*.fc9.weight" matches no',
        '  quantize.image.exclude "visual_projection.bias" matches no',
        '  quantize.image.exclude "text_model.*" matches weights of the text tower only',
        '  quantize.text.include "*.bias" matches only what always stays float (bias)',
        '  quantize.scale "group:7" does not fit',
    ):
        assert any(line.startswith(start) for line in lines), start


def test_summary_is_short_and_adds_up(vit_b_16):
    plan = plan_ternarization(find_sites(vit_b_16), quantize("all", "ffn"))
    rows = plan.summary()
    assert len(rows) <= 16
    assert sum(row.num_tensors for row in rows) == len(plan.decisions)
    assert sum(row.num_weights for row in rows) == 149_620_737
    assert [row.tower for row in rows] == sorted(
        (row.tower for row in rows), key=("image", "text", "joint").index
    )
    first = rows[0]
    assert (first.tower, first.role, first.ternary, first.why) == ("image", "ffn", True, "preset all")
    assert (first.num_tensors, first.num_weights) == (24, 24 * 768 * 3072)
    assert ("text", "embedding", False, "embedding is not in preset ffn") in {
        (row.tower, row.role, row.ternary, row.why) for row in rows
    }


def test_weights_that_keep_bits(clip_sites):
    chosen = Quantize(
        image=Part(exclude="*.fc2.weight"),
        text=Part(preset="none"),
        bits={"*.mlp.*": 4, "vision_model.encoder.layers.0.*": 8, "text_projection.weight": 8},
    )
    plan = plan_ternarization(clip_sites, chosen)
    assert {name: bits for name, bits in plan.bits.items() if bits is None} == dict.fromkeys(
        plan.ternary_names
    )
    forms = {decision.site.name: (decision.form, decision.why) for decision in plan.decisions}
    layer = "vision_model.encoder.layers"
    assert forms[f"{layer}.0.mlp.fc1.weight"] == ("8 bits", "kept by the recipe")  # the last one counts
    assert forms[f"{layer}.1.mlp.fc1.weight"] == ("4 bits", "kept by the recipe")
    assert forms[f"{layer}.1.mlp.fc2.weight"] == ("float", "excluded by the recipe")
    assert forms[f"{layer}.0.mlp.fc1.bias"] == ("float", "bias stays float")
    assert forms[f"{layer}.1.self_attn.q_proj.weight"][0] == "ternary"
    assert forms["text_model.encoder.layers.1.mlp.fc2.weight"][0] == "4 bits"  # also where no preset reaches
    assert forms["text_projection.weight"][0] == "8 bits"
    assert {row.form for row in plan.summary()} == {"ternary", "4 bits", "8 bits", "float"}
    assert plan.ternary_share < 0.5


def test_vision_towers_of_other_makes(tiny_folder):
    """A dual encoder may have any vision tower: DINOv2's layers get the same roles as ViT's."""
    from transformers import BertConfig, Dinov2Config, VisionTextDualEncoderConfig

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    for vision in (Dinov2Config(**small, mlp_ratio=2), ViTConfig(**small, intermediate_size=32)):
        config = VisionTextDualEncoderConfig.from_vision_text_configs(
            vision, BertConfig(**small, intermediate_size=32, vocab_size=50)
        )
        with torch.device("meta"):
            sites = find_sites(AutoModel.from_config(config))
        roles = Counter(
            site.role for site in sites if site.tower == "image" and ".dense" not in site.name[-13:]
        )
        assert (roles["attn"], roles["ffn"], roles["patch"]) in {(4, 2, 1), (3, 2, 1)}, json.dumps(roles)
