"""Int8 activations: what goes into a ternary layer is rounded as the int8 runtime rounds it.

Per token, symmetric: s_x = max|x| / 127, x ~ s_x round(x / s_x). For the patch convolution a token is a
patch.

B batch, C channels, H height, W width, D width of a token.
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tclip.ternary.latent import owner

LARGEST_CODE = 127


def fake_int8(x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
    """Round each token (last axis) to 255 levels, keep float; the gradient passes straight through."""
    return _rounded(x, x.detach().abs().amax(-1, keepdim=True))


def fake_int8_patches(pixel_BCHW: Float[Tensor, "B C H W"], patch: int) -> Float[Tensor, "B C H W"]:
    """Round each patch x patch square of an image, over its channels, to 255 levels; keep float."""
    magnitude_B1HW = pixel_BCHW.detach().abs().amax(1, keepdim=True)
    largest = nn.functional.max_pool2d(magnitude_B1HW, patch, patch)
    largest = largest.repeat_interleave(patch, -2).repeat_interleave(patch, -1)
    height, width = pixel_BCHW.shape[-2:]
    # A rim that no patch covers is not read by the convolution: any divisor will do there.
    padded = nn.functional.pad(
        largest, (0, width - largest.shape[-1], 0, height - largest.shape[-2]), value=1.0
    )
    return _rounded(pixel_BCHW, padded)


def quantize_activations(model: nn.Module, ternary_names: Iterable[str]) -> list[Any]:
    """Hook every layer with a ternary weight so that its input is rounded to int8.

    Embeddings have no float input and are left alone. Of nn.MultiheadAttention the query, key and value
    are rounded; what its fused code passes to its output projection cannot be reached and stays float.

    Returns:
        handles; call .remove() on each to end it.
    """
    modules = {id(module): module for module, _ in (owner(model, name) for name in ternary_names)}
    return [
        module.register_forward_pre_hook(_round_inputs, with_kwargs=True)
        for module in modules.values()
        if not isinstance(module, nn.Embedding)
    ]


def _round_inputs(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    names = ("query", "key", "value") if isinstance(module, nn.MultiheadAttention) else ("input",)
    rounded = [_round_input(module, x) for x in args[: len(names)]]
    named = {name: _round_input(module, x) if name in names else x for name, x in kwargs.items()}
    return (*rounded, *args[len(names) :]), named


def _round_input(module: nn.Module, x: Tensor) -> Tensor:
    if isinstance(module, nn.Conv2d):
        return fake_int8_patches(x, module.kernel_size[0])
    return fake_int8(x)


def _rounded(x: Tensor, largest: Tensor) -> Tensor:
    scale = largest.clamp(min=torch.finfo(x.dtype).tiny * LARGEST_CODE) / LARGEST_CODE
    return x + ((x / scale).round() * scale - x).detach()
