"""Rounding a model, for tests that need a ternary one without calibration."""

import torch

from tclip.models.clip import Clip
from tclip.models.sites import find_sites, plan_ternarization
from tclip.recipe.schema import Part, Preset, Quantize
from tclip.ternary.quantizers import ternarize


def ternarized(clip: Clip, scale: str = "row", preset: Preset = "all") -> Clip:
    """Round the weights of a preset in place; all numbers are such as float16 holds."""
    parameters = dict(clip.model.named_parameters())
    quantize = Quantize(image=Part(preset=preset), text=Part(preset=preset), scale=scale)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.copy_(parameter.half())
        for name in plan_ternarization(find_sites(clip.model), quantize).ternary_names:
            clip.ternary[name] = ternarize(parameters[name], "mse", scale).rounded(torch.float16)
            parameters[name].copy_(clip.ternary[name].dense())
    return clip
