"""open_clip's published configurations: what each becomes, and what is refused, by name and at once."""

import copy
from pathlib import Path
from typing import Any

import pytest

from tclip.errors import ModelError
from tclip.models.fetch import ModelFiles
from tclip.models.load import empty_model
from tclip.models.open_clip.config import OpenClip, describe
from tclip.models.open_clip.towers import SIGLIP_TRUNKS
from tclip.models.source import ModelSource
from tests.models.open_clip_reference import merged

B32: dict[str, Any] = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
}
BIG_G = merged(
    B32,
    {
        "embed_dim": 1280,
        "vision_cfg": {"layers": 48, "width": 1664, "head_width": 104, "mlp_ratio": 4.9231, "patch_size": 14},
        "text_cfg.width": 1280,
        "text_cfg.heads": 20,
        "text_cfg.layers": 32,
    },
)
SIGLIP_TEXT: dict[str, Any] = {
    "context_length": 64,
    "vocab_size": 32000,
    "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "width": 768,
    "heads": 12,
    "layers": 12,
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-06},
}
SIGLIP_B16: dict[str, Any] = {
    "embed_dim": 768,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 224,
        "timm_model_name": "vit_base_patch16_siglip_224",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    },
    "text_cfg": SIGLIP_TEXT,
}
SO400M = merged(
    SIGLIP_B16,
    {
        "embed_dim": 1152,
        "vision_cfg.image_size": 384,
        "vision_cfg.timm_model_name": "vit_so400m_patch14_siglip_384",
        "text_cfg.width": 1152,
        "text_cfg.heads": 16,
        "text_cfg.layers": 27,
        "text_cfg.mlp_ratio": 3.7362,
    },
)
COCA = merged(
    B32,
    {
        "vision_cfg.attentional_pool": True,
        "vision_cfg.output_tokens": True,
        "text_cfg.embed_cls": True,
        "multimodal_cfg": {"context_length": 76, "vocab_size": 49408, "width": 512},
        "custom_text": True,
    },
)
CLIPA = merged(
    B32,
    {
        "vision_cfg.no_ln_pre": True,
        "vision_cfg.pool_type": "avg",
        "vision_cfg.final_ln_after_pool": True,
        "text_cfg.hf_tokenizer_name": "bert-base-uncased",
        "text_cfg.tokenizer_kwargs": {"strip_sep_token": True},
        "text_cfg.pool_type": "last",
        "text_cfg.no_causal_mask": True,
    },
)
RESNET = merged(B32, {"vision_cfg": {"image_size": 224, "layers": [3, 4, 6, 3], "width": 64}})
CONVNEXT = merged(B32, {"vision_cfg.timm_model_name": "convnext_base", "vision_cfg.timm_proj": "mlp"})
EVA = merged(B32, {"vision_cfg.timm_model_name": "eva02_base_patch16_clip_224", "vision_cfg.timm_proj": None})
ROBERTA = merged(B32, {"text_cfg.hf_model_name": "roberta-base", "text_cfg.hf_pooler_type": "mean_pooler"})
CLAP = {"embed_dim": 512, "audio_cfg": {"model_type": "HTSAT"}, "text_cfg": B32["text_cfg"]}
NAFLEX = merged(
    SIGLIP_B16,
    {
        "vision_cfg.timm_model_name": "naflexvit_base_patch16_siglip",
        "vision_cfg.image_seq_len": 576,
    },
)


def described(model_cfg: dict[str, Any], preprocess_cfg: dict[str, Any] | None = None) -> OpenClip:
    return describe({"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}, "org/clip")


def refusal(model_cfg: dict[str, Any], preprocess_cfg: dict[str, Any] | None = None) -> list[str]:
    """The reasons of a refusal, one a line."""
    with pytest.raises(ModelError) as caught:
        described(model_cfg, preprocess_cfg)
    first, *reasons = str(caught.value).splitlines()
    assert first.startswith(
        "org/clip is a model of open_clip that no supported class of transformers can hold"
    )
    return [reason.strip() for reason in reasons]


@pytest.mark.parametrize(
    ("model_cfg", "millions"),
    [(B32, 151.28), (BIG_G, 2539.57), (SIGLIP_B16, 203.16), (SO400M, 877.96)],
    ids=["ViT-B-32", "ViT-bigG-14", "ViT-B-16-SigLIP", "ViT-SO400M-14-SigLIP-384"],
)
def test_sizes_are_those_that_open_clip_publishes(model_cfg: dict[str, Any], millions: float) -> None:
    """From docs/model_profile.csv of open_clip."""
    files = ModelFiles(Path("x"), described(model_cfg).config, ModelSource("x", None, ""))
    model = empty_model(files, "meta")
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2) == millions


def test_a_plain_clip() -> None:
    config = described(merged(B32, {"init_logit_scale": 1.5})).config
    assert config["model_type"] == "clip"
    assert config["projection_dim"] == 512
    assert config["logit_scale_init_value"] == 1.5
    assert config["text_config"]["eos_token_id"] == 49407
    assert config["vision_config"]["num_attention_heads"] == 12
    assert {config[tower]["layer_norm_eps"] for tower in ("vision_config", "text_config")} == {1e-5}
    assert {config[tower]["hidden_act"] for tower in ("vision_config", "text_config")} == {"gelu"}


def test_quick_gelu_is_as_the_config_says() -> None:
    """Never guessed: open_clip's issue 771 tells how often it is wrong in a fine-tuned model's config."""
    config = described(merged(B32, {"quick_gelu": True})).config
    assert {config[tower]["hidden_act"] for tower in ("vision_config", "text_config")} == {"quick_gelu"}
    # timm's towers never have it
    config = described(merged(SIGLIP_B16, {"quick_gelu": True})).config
    assert [config[tower]["hidden_act"] for tower in ("vision_config", "text_config")] == [
        "gelu",
        "quick_gelu",
    ]


@pytest.mark.parametrize(
    "changes", [{"text_cfg.vocab_size": 50000}, {"text_cfg.hf_tokenizer_name": "org/words"}], ids=str
)
def test_another_vocabulary_pools_at_the_largest_id(changes: dict[str, Any]) -> None:
    assert described(merged(B32, changes)).config["text_config"]["eos_token_id"] == 2


def test_a_given_end_token_makes_it_a_metaclip_2() -> None:
    worldwide = {
        "text_cfg.hf_tokenizer_name": "facebook/xlm-v-base",
        "text_cfg.pool_type": "eos",
        "text_cfg.eos_id": 2,
        "text_cfg.vocab_size": 901629,
    }
    read = described(merged(B32, worldwide))
    assert (read.config["model_type"], read.config["text_config"]["eos_token_id"]) == ("metaclip_2", 2)
    assert (read.tokenizing.hub_name, read.tokenizing.cleaning) == ("facebook/xlm-v-base", "whitespace")


@pytest.mark.parametrize("name", SIGLIP_TRUNKS)
def test_every_siglip_tower_of_timm(name: str) -> None:
    width = {"base": 768, "large": 1024, "so400m": 1152, "giantopt": 1536}[name.split("_")[1]]
    size = int(name.rsplit("_", 1)[1])
    changes = {"embed_dim": width, "vision_cfg.timm_model_name": name, "vision_cfg.image_size": size}
    config = described(merged(SIGLIP_B16, changes)).config
    assert (config["vision_config"]["hidden_size"], config["text_config"]["projection_size"]) == (
        width,
        width,
    )
    assert config["vision_config"]["image_size"] == size
    assert config["text_config"]["layer_norm_eps"] == 1e-6


@pytest.mark.parametrize(
    ("model_cfg", "reasons"),
    [
        (
            COCA,
            ["multimodal_cfg: CoCa's decoder", "vision_cfg.attentional_pool true", "text_cfg.embed_cls true"],
        ),
        (RESNET, ["vision_cfg.layers [3, 4, 6, 3]: a ResNet"]),
        (
            CLIPA,
            [
                "vision_cfg.no_ln_pre true",
                'vision_cfg.pool_type "avg"',
                "text_cfg.no_causal_mask true",
                'text_cfg.pool_type "last"',
                "text_cfg.tokenizer_kwargs.strip_sep_token",
            ],
        ),
        (ROBERTA, ['text_cfg.hf_model_name "roberta-base": a text tower of transformers']),
        (CLAP, ["audio_cfg: a tower for sound", "model_cfg.vision_cfg: field required"]),
        (merged(B32, {"init_logit_bias": -10}), ["init_logit_bias -10"]),
        (merged(B32, {"text_cfg.text_arch": "modern"}), ['text_cfg.text_arch "modern": rotary']),
        (merged(B32, {"text_cfg.pool_type": "eos"}), ["text_cfg.eos_id is missing"]),
        (merged(B32, {"text_cfg.proj_type": "none"}), ['text_cfg.proj_type "none"']),
        (
            merged(B32, {"vision_cfg.ls_init_value": 1e-4, "text_cfg.qk_norm": True}),
            ["vision_cfg.ls_init_value 0.0001", "text_cfg.qk_norm true"],
        ),
        (
            merged(B32, {"vision_cfg.image_size": [224, 336]}),
            ["vision_cfg.image_size [224, 336]: only squares"],
        ),
        (
            merged(B32, {"vision_cfg.head_width": 100}),
            ["vision_cfg.width 768: not a multiple of its 7 heads"],
        ),
        (merged(B32, {"text_cfg.norm_kwargs": {"bias": False}}), ['text_cfg.norm_kwargs {"bias": false}']),
        (
            merged(B32, {"quick_gelu": True, "text_cfg.act_kwargs": {"approximate": "tanh"}}),
            ['text_cfg.act_kwargs {"approximate": "tanh"}: QuickGELU takes no options'],
        ),
        (
            merged(B32, {"text_cfg.tokenizer_kwargs": {"clean": "canonicalize"}}),
            ['text_cfg.tokenizer_kwargs.clean "canonicalize": tclip can do lower here'],
        ),
        (
            merged(SIGLIP_B16, {"text_cfg": {**SIGLIP_TEXT, "no_causal_mask": False, "pool_type": "argmax"}}),
            [
                "text_cfg.no_causal_mask false: SigLIP goes with true",
                'text_cfg.pool_type "argmax": SigLIP goes with "last"',
            ],
        ),
        (
            merged(SIGLIP_B16, {"vision_cfg.image_size": 256, "embed_dim": 512, "init_logit_bias": None}),
            ["init_logit_bias is missing", "vision_cfg.image_size 256: vit_base", "embed_dim 512: vit_base"],
        ),
        (
            merged(B32, {"rope": 2, "vision_cfg.rope": True, "text_cfg.rope": "1d"}),
            [f"{part}rope: an option that tclip does not know" for part in ("", "vision_cfg.", "text_cfg.")],
        ),
        (
            merged(B32, {"embed_dim": "512", "text_cfg.layers": 0}),
            ["model_cfg.embed_dim: input should be a valid integer", "model_cfg.text_cfg.layers"],
        ),
    ],
    ids=lambda value: value[0][:30] if isinstance(value, list) else "",
)
def test_all_that_cannot_be_turned_is_named_at_once(model_cfg: dict[str, Any], reasons: list[str]) -> None:
    found = refusal(model_cfg)
    for reason in reasons:
        assert [each for each in found if each.startswith(reason)], (reason, found)
    if "layers" not in str(reasons):  # a damaged number is reported once for each kind that it could be
        assert len(found) == len(reasons)


@pytest.mark.parametrize("model_cfg", [CONVNEXT, EVA, NAFLEX], ids=["convnext", "eva", "naflex"])
def test_other_towers_of_timm_are_refused_by_name(model_cfg: dict[str, Any]) -> None:
    name = model_cfg["vision_cfg"]["timm_model_name"]
    assert f'vision_cfg.timm_model_name "{name}": of timm\'s' in "\n".join(refusal(model_cfg))


def test_a_mistyped_tower_gets_a_suggestion() -> None:
    (reason,) = refusal(merged(SIGLIP_B16, {"vision_cfg.timm_model_name": "vit_base_patch16_siglip224"}))
    assert reason.endswith('Did you mean "vit_base_patch16_siglip_224"?')


@pytest.mark.parametrize(
    ("preprocess_cfg", "reason"),
    [
        ({"interpolation": "lanczos"}, "preprocess_cfg.interpolation: input should be"),
        ({"resize_mode": "crop"}, "preprocess_cfg.resize_mode: input should be"),
        ({"mean": [0.5, 0.5]}, "preprocess_cfg.mean [0.5, 0.5]: give three numbers"),
        ({"std": [0.5, 0, 0.5]}, "preprocess_cfg.std [0.5, 0.0, 0.5]: give three numbers"),
        ({"resize_mode": "longest", "fill_color": 255}, "preprocess_cfg.fill_color 255"),
    ],
    ids=str,
)
def test_preprocessing_that_cannot_be_done(preprocess_cfg: dict[str, Any], reason: str) -> None:
    (found,) = refusal(B32, preprocess_cfg)
    assert found.startswith(reason)


def test_describing_changes_nothing_in_the_document() -> None:
    document = {"model_cfg": copy.deepcopy(SIGLIP_B16)}
    describe(document, "org/clip")
    assert document == {"model_cfg": SIGLIP_B16}


@pytest.mark.parametrize("document", [{}, {"model_cfg": "ViT-B-32"}, {"model_cfg": None}], ids=str)
def test_a_document_without_a_model(document: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"open_clip_config\.json of org/clip has no model_cfg"):
        describe(document, "org/clip")
