"""Rounding a model, for tests that need a ternary one without calibration."""

from collections.abc import Mapping

import torch

from tclip.models.clip import Clip
from tclip.models.sites import find_sites, plan_ternarization
from tclip.recipe.quantize import Part, Preset, Quantize
from tclip.ternary.integers import to_integers
from tclip.ternary.quantizers import ternarize

# A few weights of the tiny CLIP and SigLIP, of every kind of layer, that may keep 4 or 8 bits.
MIXED_BITS = {
    "vision_model.embeddings.patch_embedding.weight": 8,
    "vision_model.encoder.layers.0.mlp.fc1.weight": 4,
    "text_model.embeddings.token_embedding.weight": 4,
    "text_model.encoder.layers.1.self_attn.q_proj.weight": 8,
    "visual_projection.weight": 4,
    "vision_model.head.attention.in_proj_weight": 4,
}


def ternarized(
    clip: Clip, scale: str = "row", preset: Preset = "all", bits: Mapping[str, int] | None = None
) -> Clip:
    """Round the weights of a preset in place, some of them to 4 or 8 bits.

    All numbers are such as float16 holds.
    """
    parameters = dict(clip.model.named_parameters())
    quantize = Quantize(image=Part(preset=preset), text=Part(preset=preset), scale=scale)
    bits = bits or {}
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.copy_(parameter.half())
        for name in plan_ternarization(find_sites(clip.model), quantize).ternary_names:
            if name in bits:
                clip.ints[name] = to_integers(parameters[name], bits[name], scale).rounded(torch.float16)
            else:
                clip.ternary[name] = ternarize(parameters[name], "mse", scale).rounded(torch.float16)
            parameters[name].copy_(clip.coded[name].dense())
    return clip
