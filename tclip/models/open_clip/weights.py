"""From open_clip's weights to transformers': names, fused projections, and which way round a matrix lies.

open_clip fuses query, key and value into one matrix and keeps two projections as [inputs, outputs].
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

# A name is the first pattern that it begins with, replaced; what follows stays. `text.` is gone before.
_BEGINNINGS = [
    (r"^visual\.(?:transformer\.resblocks|trunk\.blocks)\.(\d+)\.", r"vision_model.encoder.layers.\1."),
    (r"^transformer\.resblocks\.(\d+)\.", r"text_model.encoder.layers.\1."),
    (r"^visual\.class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"^visual\.(?:conv1|trunk\.patch_embed\.proj)\.", "vision_model.embeddings.patch_embedding."),
    (
        r"^visual\.(?:positional_embedding|trunk\.pos_embed)$",
        "vision_model.embeddings.position_embedding.weight",
    ),
    (r"^visual\.ln_pre\.", "vision_model.pre_layrnorm."),
    (r"^visual\.(?:ln_post|trunk\.norm)\.", "vision_model.post_layernorm."),
    (r"^visual\.proj$", "visual_projection.weight"),
    (r"^visual\.trunk\.attn_pool\.latent$", "vision_model.head.probe"),
    (r"^visual\.trunk\.attn_pool\.norm\.", "vision_model.head.layernorm."),
    (r"^visual\.trunk\.attn_pool\.mlp\.", "vision_model.head.mlp."),
    (r"^visual\.trunk\.attn_pool\.proj\.", "vision_model.head.attention.out_proj."),
    (r"^visual\.trunk\.attn_pool\.", "vision_model.head.attention."),
    (r"^token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^ln_final\.", "text_model.final_layer_norm."),
    (r"^text_projection$", "text_projection.weight"),
    (r"^text_projection\.", "text_model.head."),
]
# Within a layer; timm's names and open_clip's own.
_LAYER_PARTS = [
    (r"\.(?:ln_|norm)([12])\.", r".layer_norm\1."),
    (r"\.attn\.in_proj_(weight|bias)$", r".self_attn.qkv.\1"),
    (r"\.attn\.qkv\.", ".self_attn.qkv."),
    (r"\.attn\.(?:out_)?proj\.", ".self_attn.out_proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
]
_TRANSPOSED = ("visual.proj", "text_projection")
_POOLING = "vision_model.head.attention."


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read an open_clip safetensors file as transformers names and shapes its weights.

    Raises:
        SafetensorError: the file is damaged.
    """
    from safetensors.torch import load_file

    return convert_weights(load_file(path))


def convert_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return open_clip's weights under transformers' names; a name that is not known stays as it is.

    Query, key and value of a layer become three matrices, views of the fused one. SigLIP's pooling head is
    the other way round: its query and its key and value become one, as in torch's MultiheadAttention.

    Args:
        weights: the state of a CLIP or CustomTextCLIP of open_clip, with or without "module." in front.
    """
    converted = dict(pair for name, weight in weights.items() for pair in _renamed(name, weight))
    for kind in ("weight", "bias"):
        query, key_value = (f"{_POOLING}{part}.{kind}" for part in ("q", "kv"))
        if query in converted and key_value in converted:
            parts = [converted.pop(query), converted.pop(key_value)]
            converted[f"{_POOLING}in_proj_{kind}"] = torch.cat(parts)
    return converted


def shaped_like(weights: dict[str, Tensor], model: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add or drop axes of length 1 where only they keep a weight from the model's shape.

    open_clip's logit scale is a number or a vector of one, timm's positions have a batch axis.
    """
    return {
        name: weight.reshape(model[name].shape)
        if name in model and _without_ones(weight) == _without_ones(model[name])
        else weight
        for name, weight in weights.items()
    }


def _renamed(name: str, weight: Tensor) -> Iterator[tuple[str, Tensor]]:
    plain = name.removeprefix("module.").removeprefix("text.")
    renamed = _replaced_first(plain, _BEGINNINGS)
    if ".encoder.layers." in renamed:
        renamed = _replaced_first(renamed, _LAYER_PARTS)
    if ".self_attn.qkv." in renamed:
        for part, chunk in zip("qkv", weight.chunk(3), strict=True):
            yield renamed.replace(".qkv.", f".{part}_proj."), chunk
    else:
        yield renamed, weight.T if plain in _TRANSPOSED else weight


def _replaced_first(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        replaced, count = re.subn(pattern, replacement, name)
        if count:
            return replaced
    return name


def _without_ones(tensor: Tensor) -> list[int]:
    return [length for length in tensor.shape if length != 1]
