"""From open_clip's description of a tower to transformers' configuration of one; what has none, and why.

Each function returns the tower's part of a config.json and adds to `reasons` what it cannot express.
"""

import json
import re
from typing import Any

from tclip.errors import did_you_mean
from tclip.models.open_clip.schema import Sides, Text, Tower, Vision

Config = dict[str, Any]

# Options that put weights or arithmetic into a tower for which the classes of transformers have no place.
_ANY_TOWER = {
    "ls_init_value": "the outputs of its layers are scaled (LayerScale)",
    "qk_norm": "queries and keys are normalised",
    "scaled_cosine_attn": "attention by cosine",
    "scale_heads": "attention heads are scaled",
    "scale_attn_inner": "a LayerNorm within attention",
    "scale_attn": "a LayerNorm after attention",
    "scale_fc": "a LayerNorm within the feed-forward layers",
}
_VISION = {
    "attentional_pool": "pooling by attention, as in CoCa",
    "no_ln_pre": "no LayerNorm before the first layer, as in CLIPA",
}
_TEXT = {
    "embed_cls": "a class token behind the text, as in CoCa",
    "hf_model_name": "a text tower of transformers",
    "tokenizer_mode": "a tokenization of its own",
    "tokenizer_type": "a tokenization of its own",
}
SIGLIP_WIDTHS = {  # width, layers, heads, hidden width over width
    "base": (768, 12, 12, 4.0),
    "large": (1024, 24, 16, 4.0),
    "so400m": (1152, 27, 16, 3.7362),
    "giantopt": (1536, 40, 16, 4.0),
}
_ERF, _TANH = "gelu", "gelu_pytorch_tanh"
# timm's image towers of SigLIP and SigLIP 2, with the GELU that timm gives each
SIGLIP_TRUNKS = {
    "vit_base_patch16_siglip_224": _ERF,
    "vit_base_patch16_siglip_256": _ERF,
    "vit_base_patch16_siglip_384": _ERF,
    "vit_base_patch16_siglip_512": _ERF,
    "vit_base_patch32_siglip_256": _TANH,
    "vit_large_patch16_siglip_256": _ERF,
    "vit_large_patch16_siglip_384": _ERF,
    "vit_large_patch16_siglip_512": _TANH,
    "vit_so400m_patch14_siglip_224": _ERF,
    "vit_so400m_patch14_siglip_378": _ERF,
    "vit_so400m_patch14_siglip_384": _ERF,
    "vit_so400m_patch16_siglip_256": _TANH,
    "vit_so400m_patch16_siglip_384": _TANH,
    "vit_so400m_patch16_siglip_512": _TANH,
    "vit_giantopt_patch16_siglip_256": _TANH,
    "vit_giantopt_patch16_siglip_384": _TANH,
}


def clip_vision(vision: Vision, quick_gelu: bool, reasons: list[str]) -> Config:
    """Describe open_clip's own image transformer as CLIP's: its class token is pooled."""
    reasons += _without_place(vision, "vision_cfg", _ANY_TOWER | _VISION)
    if vision.pool_type != "tok" and not vision.attentional_pool:
        reasons.append(f'vision_cfg.pool_type "{vision.pool_type}": CLIP pools its class token ("tok")')
    if isinstance(vision.layers, list):
        reasons.append(f"vision_cfg.layers {vision.layers}: a ResNet, which has no ternary form here")
    heads = vision.width // vision.head_width
    image_size = _side(vision.image_size, "image_size", reasons)
    patch_size = _side(vision.patch_size, "patch_size", reasons)
    if 0 < image_size < patch_size:
        reasons.append(f"vision_cfg.image_size {image_size}: smaller than a patch ({patch_size})")
    return {
        "image_size": image_size,
        "patch_size": patch_size,
        **_tower(vision, "vision_cfg", vision.width, heads, quick_gelu, reasons),
    }


def siglip_vision(vision: Vision, embed_dim: int, reasons: list[str]) -> Config:
    """Describe an image tower of timm as SigLIP's, which its name says all about."""
    name = str(vision.timm_model_name)
    known = re.fullmatch(r"vit_([a-z0-9]+)_patch(\d+)_siglip_(\d+)", name) if name in SIGLIP_TRUNKS else None
    if known is None:
        reasons.append(
            f"vision_cfg.timm_model_name {_shown(name)}: of timm's towers only SigLIP's can be turned, such "
            f"as vit_base_patch16_siglip_224.{did_you_mean(name, SIGLIP_TRUNKS)}"
        )
        return {}
    width, layers, heads, ratio = SIGLIP_WIDTHS[known[1]]
    image_size = int(known[3])
    for option, value, needed in (
        ("image_size", vision.image_size, (image_size, [image_size, image_size])),
        ("timm_pool", vision.timm_pool, ("map",)),
        ("timm_proj", vision.timm_proj, ("none", "", None)),
        ("timm_model_kwargs", vision.timm_model_kwargs, ({}, None)),
    ):
        if value not in needed:
            reasons.append(f"vision_cfg.{option} {_shown(value)}: {name} goes with {_shown(needed[0])}")
    if embed_dim != width:
        reasons.append(f"embed_dim {embed_dim}: {name} has {width}, and SigLIP does not project it")
    return {
        "image_size": image_size,
        "patch_size": int(known[2]),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": int(width * ratio),
        "hidden_act": SIGLIP_TRUNKS[name],
        "layer_norm_eps": 1e-6,
    }


def clip_text(text: Text, quick_gelu: bool, reasons: list[str]) -> Config:
    """Describe a causal text transformer as CLIP's, or as MetaCLIP 2's where it pools a given end token."""
    config = _text(text, quick_gelu, reasons)
    if text.no_causal_mask:
        reasons.append("text_cfg.no_causal_mask true: CLIP reads texts from left to right")
    if text.proj_bias:
        reasons.append("text_cfg.proj_bias true: CLIP's projection has no bias")
    if text.pool_type == "eos":
        if text.eos_id is None:
            reasons.append('text_cfg.eos_id is missing, which pool_type "eos" needs')
        config["eos_token_id"] = text.eos_id
    elif text.pool_type == "argmax":
        # the first 49407, which is the largest id of CLIP's BPE; for 2 transformers' CLIP takes the largest
        is_clips_own = text.vocab_size == 49408 and not text.hf_tokenizer_name
        config["eos_token_id"] = 49407 if is_clips_own else 2
    else:
        reasons.append(f'text_cfg.pool_type "{text.pool_type}": CLIP pools the end token ("argmax" or "eos")')
    return config


def siglip_text(text: Text, embed_dim: int, quick_gelu: bool, reasons: list[str]) -> Config:
    """Describe a text transformer that sees all of a text as SigLIP's: its last position is pooled."""
    config = _text(text, quick_gelu, reasons)
    for option, value, needed in (
        ("no_causal_mask", text.no_causal_mask, True),
        ("proj_bias", text.proj_bias, True),
        ("pool_type", text.pool_type, "last"),
    ):
        if value != needed:
            reasons.append(f"text_cfg.{option} {_shown(value)}: SigLIP goes with {_shown(needed)}")
    return {**config, "projection_size": embed_dim}


def _text(text: Text, quick_gelu: bool, reasons: list[str]) -> Config:
    reasons += _without_place(text, "text_cfg", _ANY_TOWER | _TEXT)
    if text.text_arch != "clip":
        reasons.append(f'text_cfg.text_arch "{text.text_arch}": rotary positions and gated layers')
    if text.proj_type != "linear":
        reasons.append(f"text_cfg.proj_type {_shown(text.proj_type)}: texts must be projected linearly")
    if isinstance(text.layers, list):
        reasons.append(f"text_cfg.layers {text.layers}: give one number")
    return {
        "vocab_size": text.vocab_size,
        "max_position_embeddings": text.context_length,
        **_tower(text, "text_cfg", text.width, text.heads, quick_gelu, reasons),
    }


def _tower(tower: Tower, part: str, width: int, heads: int, quick_gelu: bool, reasons: list[str]) -> Config:
    if not heads or width % heads:
        reasons.append(f"{part}.width {width}: not a multiple of its {heads} heads")
    norm = tower.norm_kwargs or {}
    if not set(norm) <= {"eps"} or not isinstance(norm.get("eps", 0.0), int | float):
        reasons.append(f"{part}.norm_kwargs {_shown(norm)}: only eps can be set")
    return {
        "hidden_size": width,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": heads,
        "intermediate_size": int(width * tower.mlp_ratio),
        "hidden_act": _activation(tower, part, quick_gelu, reasons),
        "layer_norm_eps": norm.get("eps", 1e-5),
    }


def _activation(tower: Tower, part: str, quick_gelu: bool, reasons: list[str]) -> str:
    options = tower.act_kwargs or {}
    if quick_gelu and not options:
        return "quick_gelu"
    known = {"tanh": _TANH, "none": _ERF}
    approximate = options.get("approximate", "none")
    if quick_gelu or set(options) - {"approximate"} or approximate not in known:
        of = "QuickGELU takes no options" if quick_gelu else 'GELU knows approximate "tanh" or "none"'
        reasons.append(f"{part}.act_kwargs {_shown(options)}: {of}")
    return known.get(str(approximate), _ERF)


def _without_place(tower: Tower, part: str, why: dict[str, str]) -> list[str]:
    set_to = {option: getattr(tower, option) for option in why}
    return [
        f"{part}.{option} {_shown(value)}: {why[option]}"
        for option, value in set_to.items()
        if value not in (None, False, "")
    ]


def _side(sides: Sides, option: str, reasons: list[str]) -> int:
    if isinstance(sides, int):
        return sides
    if len(sides) != 2 or sides[0] != sides[1] or sides[0] < 1:
        reasons.append(f"vision_cfg.{option} {sides}: only squares can be turned")
        return 0
    return sides[0]


def _shown(value: Any) -> str:
    return json.dumps(value)
