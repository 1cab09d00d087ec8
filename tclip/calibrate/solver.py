"""Codes and scales that change a linear layer's output least: GPTQ and coordinate descent.

The error of a row q against its target w is (q - w) H (q - w)^T, H the second moments of the layer's
inputs: the squared error of the output over the inputs that H was made from. Rows are independent, so
all rows are worked on at once. Weights lie transposed, inputs first: what the loops (sweeps.py) touch is
contiguous.

O outputs (rows), I inputs, R rows with scales, G groups a row.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from tclip.calibrate.sweeps import Turns, compensated, descended, turns
from tclip.ternary.integers import round_weight
from tclip.ternary.tensor import CodedTensor

ROUNDS = 2  # of error compensation and scale re-fit
SWEEPS = 8  # of coordinate descent at most; it mostly stops sooner
INTEGER_SWEEPS = 2  # of integers, which further ones improve by a few per cent of very little
_TINY = 1e-12


@dataclass(frozen=True)
class Measure:
    """What errors are measured by: of a layer, the same for all its rows.

    Attributes:
        moment_II: second moments of the inputs, damped.
        turns: the order in which inputs are rounded, and what that takes.
    """

    moment_II: Tensor
    turns: Turns

    @classmethod
    def of(cls, moment_II: Float[Tensor, "I I"], damping: float) -> "Measure":
        """Return the measure of second moments; damping as for `solve`."""
        damped_II = damped(moment_II, damping).cpu()
        return cls(damped_II, turns(damped_II))


def solve(
    target: Float[Tensor, "O ..."],
    moment_II: Float[Tensor, "I I"],
    *,
    quantizer: str = "mse",
    granularity: str = "row",
    bits: int | None = None,
    damping: float = 0.01,
) -> CodedTensor:
    """Find codes and scales of small output error.

    From the scales of plain rounding: error compensation input by input (GPTQ, arXiv 2210.17323,
    algorithm 1, with the grid {-s, 0, s}, or that of integers) and the scales of least error for the codes
    found, in turn; then coordinate descent over single codes, again with re-fitted scales, until none
    changes. The error is never above plain rounding's: a row that compensation made worse goes on from its
    rounded codes.

    Args:
        target: the weight whose output is to be kept, any shape with rows first.
        moment_II: second moments of the inputs, symmetric, positive semi-definite.
        quantizer: the rule whose scales are the start.
        granularity: "tensor", "row" or "group:N".
        bits: 4 or 8 for integers, None for ternary codes.
        damping: ridge on the moments, as a share of their mean diagonal, above 0.
    """
    return solve_by(Measure.of(moment_II, damping), target, quantizer, granularity, bits)


def solve_by(
    measure: Measure, target: Float[Tensor, "O ..."], quantizer: str, granularity: str, bits: int | None
) -> CodedTensor:
    """Do what `solve` does, by a measure that several weights, or parts of one, share."""
    weight_IO = target.detach().reshape(target.shape[0], -1).T.contiguous().float().cpu()
    damped_II = measure.moment_II
    plain = round_weight(target.cpu(), bits, quantizer, granularity)
    scale_RG, largest = plain.scale_RG, plain.largest
    for _ in range(ROUNDS):
        codes_IO = compensated(weight_IO, measure.turns, _per_weight(scale_RG, weight_IO), largest)
        codes_IO, scale_RG = _refit_scales(weight_IO, damped_II, codes_IO, scale_RG)
    plain_IO = plain.codes.reshape(target.shape[0], -1).T.float()
    codes_IO, scale_RG = _better(
        weight_IO,
        damped_II,
        (codes_IO, scale_RG),
        _refit_scales(weight_IO, damped_II, plain_IO, plain.scale_RG),
    )
    for _ in range(SWEEPS if bits is None else INTEGER_SWEEPS):
        better_IO = descended(weight_IO, damped_II, codes_IO, _per_weight(scale_RG, weight_IO), largest)
        settled = torch.equal(better_IO, codes_IO)
        codes_IO, scale_RG = _refit_scales(weight_IO, damped_II, better_IO, scale_RG)
        if settled:
            break
    codes = codes_IO.T.reshape(target.shape).to(target.device, torch.int8)
    return replace(plain, codes=codes, scale_RG=scale_RG.to(target.device))


def damped(moment_II: Float[Tensor, "I I"], damping: float) -> Float[Tensor, "I I"]:
    """Return the moments scaled to a mean diagonal of 1, plus the ridge."""
    mean = moment_II.diagonal().mean().double().clamp(min=1e-30)
    ridge_II = damping * torch.eye(len(moment_II), dtype=torch.float64, device=moment_II.device)
    return (moment_II.double() / mean + ridge_II).float()


def _per_weight(scale_RG: Tensor, weight_IO: Tensor) -> Tensor:
    inputs, outputs = weight_IO.shape
    return scale_RG.T.repeat_interleave(inputs // scale_RG.shape[1], 0).expand(inputs, outputs)


def _better(
    weight_IO: Tensor, moment_II: Tensor, one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return, row by row, the codes and scales of smaller error; all from one where rows share a scale."""
    errors = []
    for codes_IO, scale_RG in (one, other):
        off_IO = codes_IO * _per_weight(scale_RG, weight_IO) - weight_IO
        error_O = ((moment_II @ off_IO) * off_IO).sum(0)
        errors.append(error_O if len(scale_RG) > 1 else error_O.sum(0, keepdim=True))
    keeps_R = errors[0] <= errors[1]
    return torch.where(keeps_R, one[0], other[0]), torch.where(keeps_R[:, None], one[1], other[1])


def _refit_scales(
    weight_IO: Tensor, moment_II: Tensor, codes_IO: Tensor, scale_RG: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the codes with the scales of least error; a scale that comes out negative turns its codes."""
    rows, groups = scale_RG.shape
    inputs, outputs = weight_IO.shape
    codes_GNO = codes_IO.reshape(groups, inputs // groups, outputs)
    moment_IGN = moment_II.reshape(inputs, groups, -1)
    seen_HGO = torch.stack(
        [
            ((moment_IGN[:, group] @ codes_GNO[group]).reshape(codes_GNO.shape) * codes_GNO).sum(1)
            for group in range(groups)
        ]
    )
    wanted_GO = ((moment_II @ weight_IO).reshape(codes_GNO.shape) * codes_GNO).sum(1)
    if rows == 1 and outputs > 1:
        seen_HGO, wanted_GO = seen_HGO.sum(-1, keepdim=True), wanted_GO.sum(-1, keepdim=True)
    fitted_RG = _solved(seen_HGO.permute(2, 0, 1).double(), wanted_GO.T.double(), scale_RG)
    sign_IO = _per_weight(torch.where(fitted_RG < 0, -1.0, 1.0), weight_IO)
    return codes_IO * sign_IO, fitted_RG.abs()


def _solved(seen_RGG: Tensor, wanted_RG: Tensor, scale_RG: Tensor) -> Tensor:
    """Solve for the scales; a group whose codes are all zero keeps the scale it had."""
    empty_RG = seen_RGG.diagonal(dim1=1, dim2=2) <= 0
    ridge_RG = torch.where(empty_RG, 1.0, 1e-9 * seen_RGG.diagonal(dim1=1, dim2=2))
    wanted_RG = torch.where(empty_RG, scale_RG.double(), wanted_RG)
    return torch.linalg.solve(seen_RGG + torch.diag_embed(ridge_RG), wanted_RG[..., None])[..., 0].float()
