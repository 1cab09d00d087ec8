"""Rounding of weights to symmetric integers of 4 or 8 bits, for the few that suffer most as ternary ones.

R rows with scales, G groups a row, N weights to a scale.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from tclip.ternary.codec import largest_code
from tclip.ternary.granularity import grouped
from tclip.ternary.quantizers import ternarize
from tclip.ternary.tensor import CodedTensor, IntTensor

# Where the largest code may lie, as a share of the largest weight: below 1 the few largest weights are cut
# and all others are rounded more finely. At 4 bits the best for Gaussian weights is near 0.8.
CUTS = tuple(1 - 0.04 * step for step in range(14))
_TINY = 1e-12


def to_integers(weight: Float[Tensor, "..."], bits: int, granularity: str = "row") -> IntTensor:
    """Round a float weight of any shape to integers, with the scale of least squared error among those tried.

    For each cut of CUTS the nearest codes are taken, and the scale that is best for them.

    Args:
        weight: the weight; dimension 0 holds its rows.
        bits: 4 or 8.
        granularity: "tensor", "row" or "group:N".

    Raises:
        ValueError: other bits, an unknown granularity, or a group size that does not divide a row.
    """
    weight_RGN, largest = grouped(weight.detach().float(), granularity), largest_code(2**bits)
    bound_RG1 = weight_RGN.abs().amax(-1, keepdim=True)
    best_RG1, least_RG1 = bound_RG1 / largest, torch.full_like(bound_RG1, torch.inf)
    for cut in CUTS:
        codes_RGN = _nearest(weight_RGN, cut * bound_RG1 / largest, largest)
        scale_RG1 = (codes_RGN * weight_RGN).sum(-1, keepdim=True)
        scale_RG1 /= codes_RGN.square().sum(-1, keepdim=True).clamp(min=1)
        error_RG1 = (codes_RGN * scale_RG1 - weight_RGN).square().sum(-1, keepdim=True)
        best_RG1 = torch.where(error_RG1 < least_RG1, scale_RG1, best_RG1)
        least_RG1 = torch.minimum(error_RG1, least_RG1)
    codes = _nearest(weight_RGN, best_RG1, largest).to(torch.int8).reshape(weight.shape)
    return IntTensor(codes, best_RG1.squeeze(-1), bits)


def round_weight(
    weight: Float[Tensor, "..."], bits: int | None, quantizer: str, granularity: str
) -> CodedTensor:
    """Round a float weight to integers of 4 or 8 bits, or (None) to ternary codes by a quantizer's rule.

    Raises:
        ValueError: as to_integers and ternarize.
    """
    return (
        ternarize(weight, quantizer, granularity) if bits is None else to_integers(weight, bits, granularity)
    )


def _nearest(weight_RGN: Tensor, scale_RG1: Tensor, largest: int) -> Tensor:
    return (weight_RGN / scale_RG1.clamp(min=_TINY)).round().clamp(-largest, largest)
