"""The gradient of a ternary weight: straight through to the latent weight, LSQ's to the scale.

A step does this for every weight, so on a CPU what it costs is passes over memory: rows go in blocks small
enough that what is made on the way stays in a core's cache.

R rows with scales, G groups a row, N weights to a scale.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

# 1 MB of float32: a block and its two temporaries fit into the second-level cache of most cores.
BLOCK = 262_144


class StraightThrough(torch.autograd.Function):
    """w + strength (s T - w), T = the code of w at the given threshold.

    The gradient passes to w as it is; to s it is the LSQ gradient (arXiv 1902.08153, eq. 3):
    T - w/s inside the clip, T outside.
    """

    @staticmethod
    def forward(
        ctx: Any, weight_RGN: Tensor, scale_RG1: Tensor, threshold_RG1: Tensor, strength: float
    ) -> Tensor:
        """Return w + strength (s T - w), [R, G, N]."""
        ternary_RGN = torch.empty_like(weight_RGN)
        for weight, scale, threshold, out in _blocks(weight_RGN, scale_RG1, threshold_RG1, ternary_RGN):
            torch.abs(weight, out=out)
            coded = out > threshold
            torch.copysign(scale, weight, out=out).mul_(coded)
        ctx.save_for_backward(weight_RGN, scale_RG1, ternary_RGN)
        ctx.strength = strength
        return ternary_RGN if strength == 1 else torch.lerp(weight_RGN, ternary_RGN, strength)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        """Return the gradients of the weight and of the scale."""
        (grad_RGN,) = grads
        if not ctx.needs_input_grad[1]:
            return grad_RGN, None, None, None
        weight_RGN, scale_RG1, ternary_RGN = ctx.saved_tensors
        total_RG1 = torch.empty_like(scale_RG1)
        blocks = _blocks(weight_RGN, scale_RG1, ternary_RGN, grad_RGN, total_RG1)
        for weight, scale, ternary, grad, total in blocks:
            slope = weight * (weight.abs() < scale)
            torch.sub(ternary, slope, out=slope).mul_(grad)
            torch.sum(slope, -1, keepdim=True, out=total)
        return grad_RGN, ctx.strength * total_RG1 / scale_RG1, None, None


def _blocks(first_RGN: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the same rows of all tensors, block by block; all rows at once where there is no such cache."""
    tensors, rows = (first_RGN, *others), len(first_RGN)
    if first_RGN.is_cuda or first_RGN.numel() <= BLOCK:
        yield tensors
        return
    size = max(1, BLOCK * rows // first_RGN.numel())
    for start in range(0, rows, size):
        yield tuple(x[start : start + size] for x in tensors)
