"""The rules that turn float weights into ternary ones. A new rule is one function and one registry line.

Each rule gets magnitudes [R, G, N] and answers (scale, threshold), both [R, G, 1]: a weight whose
magnitude exceeds the threshold gets the code of its sign, every other one the code 0.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from tclip.ternary.granularity import grouped
from tclip.ternary.tensor import TernaryTensor

Magnitudes = Float[Tensor, "R G N"]
PerGroup = Float[Tensor, "R G 1"]
Rule = Callable[[Tensor], tuple[Tensor, Tensor]]


def absmean(magnitude_RGN: Magnitudes) -> tuple[PerGroup, PerGroup]:
    """Scale mean|w|, threshold half of it (BitNet b1.58, arXiv 2402.17764, eq. 1-3)."""
    scale_RG1 = magnitude_RGN.mean(-1, keepdim=True)
    return scale_RG1, scale_RG1 / 2


def clip2(magnitude_RGN: Magnitudes) -> tuple[PerGroup, PerGroup]:
    """Scale 2 mean|w|, threshold mean|w|: 57.5 % zeros on Gaussian weights (TernaryCLIP's published rule)."""
    mean_RG1 = magnitude_RGN.mean(-1, keepdim=True)
    return 2 * mean_RG1, mean_RG1


def twn(magnitude_RGN: Magnitudes) -> tuple[PerGroup, PerGroup]:
    """Threshold 0.75 mean|w|, scale the mean of what exceeds it (TWN, arXiv 1605.04711, eq. 5-6)."""
    threshold_RG1 = 0.75 * magnitude_RGN.mean(-1, keepdim=True)
    kept_RGN = magnitude_RGN > threshold_RG1
    total_RG1 = (magnitude_RGN * kept_RGN).sum(-1, keepdim=True)
    return total_RG1 / kept_RGN.sum(-1, keepdim=True).clamp(min=1), threshold_RG1


def mse(magnitude_RGN: Magnitudes) -> tuple[PerGroup, PerGroup]:
    """Scale and threshold of least squared error, exactly.

    With the k largest magnitudes kept, the best scale is their mean and the error falls by
    (their sum)^2 / k (TWN, arXiv 1605.04711, eq. 4); every k is tried. At the optimum the
    threshold is half the scale, that is, every weight takes the nearest of {-s, 0, s}.
    """
    ordered_RGN = magnitude_RGN.sort(-1, descending=True).values
    sums_RGN = ordered_RGN.double().cumsum(-1)
    kept_N = torch.arange(1, magnitude_RGN.shape[-1] + 1, dtype=torch.float64, device=sums_RGN.device)
    best_RG1 = (sums_RGN.square() / kept_N).argmax(-1, keepdim=True)
    scale_RG1 = (sums_RGN.gather(-1, best_RG1) / (best_RG1 + 1)).to(magnitude_RGN.dtype)
    return scale_RG1, scale_RG1 / 2


QUANTIZERS: dict[str, Rule] = {
    "absmean": absmean,
    "clip2": clip2,
    "twn": twn,
    "mse": mse,
    "learned": mse,  # where learning starts; from then on the scale is a parameter (latent.py)
}


def codes_of(weight_RGN: Float[Tensor, "R G N"], threshold_RG1: PerGroup) -> Int8[Tensor, "R G N"]:
    """Return the codes: sign(w) where |w| exceeds the threshold, else 0."""
    return ((weight_RGN > threshold_RG1).to(torch.int8)) - ((weight_RGN < -threshold_RG1).to(torch.int8))


def ternarize(
    weight: Float[Tensor, "..."] | TernaryTensor, quantizer: str, granularity: str = "row"
) -> TernaryTensor:
    """Ternarize a float weight of any shape; a weight that is ternary already comes back unchanged.

    Args:
        weight: the weight; dimension 0 holds its rows.
        quantizer: a name of QUANTIZERS.
        granularity: "tensor", "row" or "group:N".

    Raises:
        ValueError: unknown quantizer or granularity, or a group size that does not divide a row.
    """
    if isinstance(weight, TernaryTensor):
        return weight
    if quantizer not in QUANTIZERS:
        raise ValueError(f'unknown quantizer "{quantizer}", known: {", ".join(QUANTIZERS)}')
    weight_RGN = grouped(weight.detach().float(), granularity)
    scale_RG1, threshold_RG1 = QUANTIZERS[quantizer](weight_RGN.abs())
    codes = codes_of(weight_RGN, threshold_RG1).reshape(weight.shape)
    return TernaryTensor(codes, scale_RG1.squeeze(-1))
