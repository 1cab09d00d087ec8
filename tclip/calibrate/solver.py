"""Codes and scales that change a linear layer's output least: ternary GPTQ and coordinate descent.

The error of a row q against its target w is (q - w) H (q - w)^T, H the second moments of the layer's
inputs: the squared error of the output over the inputs that H was made from. Rows are independent, so
all rows are worked on at once. Weights lie transposed, inputs first: what the loops touch is contiguous.

O outputs (rows), I inputs, R rows with scales, G groups a row.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from tclip.ternary.quantizers import ternarize
from tclip.ternary.tensor import TernaryTensor

ROUNDS = 2  # of error compensation and scale re-fit
SWEEPS = 8  # of coordinate descent at most; it mostly stops sooner
BLOCK = 64  # inputs between two updates of all the others: the bulk of the work becomes matrix products
_TINY = 1e-12


def solve(
    target: Float[Tensor, "O ..."],
    moment_II: Float[Tensor, "I I"],
    *,
    quantizer: str = "mse",
    granularity: str = "row",
    damping: float = 0.01,
) -> TernaryTensor:
    """Find codes and scales of small output error.

    From the scales of plain rounding: error compensation input by input (GPTQ, arXiv 2210.17323,
    algorithm 1, with the grid {-s, 0, s}) and the scales of least error for the codes found, in turn;
    then coordinate descent over single codes, again with re-fitted scales, until none changes. The error
    is never above plain rounding's: a row that compensation made worse goes on from its rounded codes.

    Args:
        target: the weight whose output is to be kept, any shape with rows first.
        moment_II: second moments of the inputs, symmetric, positive semi-definite.
        quantizer: the rule whose scales are the start.
        granularity: "tensor", "row" or "group:N".
        damping: ridge on the moments, as a share of their mean diagonal, above 0.
    """
    weight_IO = target.reshape(target.shape[0], -1).T.contiguous().float()
    damped_II = _damped(moment_II, damping)
    plain = ternarize(target, quantizer, granularity)
    scale_RG = plain.scale_RG
    for _ in range(ROUNDS):
        codes_IO = _compensated(weight_IO, damped_II, _per_weight(scale_RG, weight_IO))
        codes_IO, scale_RG = _refit_scales(weight_IO, damped_II, codes_IO, scale_RG)
    plain_IO = plain.codes.reshape(target.shape[0], -1).T.float()
    codes_IO, scale_RG = _better(
        weight_IO,
        damped_II,
        (codes_IO, scale_RG),
        _refit_scales(weight_IO, damped_II, plain_IO, plain.scale_RG),
    )
    for _ in range(SWEEPS):
        better_IO = _descended(weight_IO, damped_II, codes_IO, _per_weight(scale_RG, weight_IO))
        settled = torch.equal(better_IO, codes_IO)
        codes_IO, scale_RG = _refit_scales(weight_IO, damped_II, better_IO, scale_RG)
        if settled:
            break
    return TernaryTensor(codes_IO.T.reshape(target.shape).to(torch.int8), scale_RG)


def _damped(moment_II: Tensor, damping: float) -> Tensor:
    """Return the moments scaled to a mean diagonal of 1, plus the ridge."""
    mean = moment_II.diagonal().mean().double().clamp(min=1e-30)
    ridge_II = damping * torch.eye(len(moment_II), dtype=torch.float64, device=moment_II.device)
    return (moment_II.double() / mean + ridge_II).float()


def _per_weight(scale_RG: Tensor, weight_IO: Tensor) -> Tensor:
    inputs, outputs = weight_IO.shape
    return scale_RG.T.repeat_interleave(inputs // scale_RG.shape[1], 0).expand(inputs, outputs)


def _nearest(value: Tensor, scale: Tensor) -> Tensor:
    return (value / scale.clamp(min=_TINY)).round().clamp(-1, 1)


def _compensated(weight_IO: Tensor, moment_II: Tensor, scale_IO: Tensor) -> Tensor:
    """Round input by input, largest moment first; those still to come take over what each one misses."""
    order_I = moment_II.diagonal().argsort(descending=True, stable=True)
    factor_II = _inverse_factor(moment_II[order_I][:, order_I])
    open_IO, scale_IO = weight_IO[order_I], scale_IO[order_I]
    codes_IO, missed_IO = torch.empty_like(open_IO), torch.empty_like(open_IO)
    for start in range(0, len(open_IO), BLOCK):
        stop = min(start + BLOCK, len(open_IO))
        for i in range(start, stop):
            codes_IO[i] = _nearest(open_IO[i], scale_IO[i])
            missed_IO[i] = open_IO[i] - codes_IO[i] * scale_IO[i]
            open_IO[i + 1 : stop] -= factor_II[i, i + 1 : stop, None] * missed_IO[i]
        open_IO[stop:] -= factor_II[start:stop, stop:].T @ missed_IO[start:stop]
    unordered_IO = torch.empty_like(codes_IO)
    unordered_IO[order_I] = codes_IO
    return unordered_IO


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


def _inverse_factor(moment_II: Tensor) -> Tensor:
    """Return the upper Cholesky factor of the inverse, each row divided by its diagonal."""
    inverse_II = torch.cholesky_inverse(torch.linalg.cholesky(moment_II.double()))
    factor_II = torch.linalg.cholesky(inverse_II, upper=True)
    return (factor_II / factor_II.diagonal()[:, None]).float()


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


def _descended(weight_IO: Tensor, moment_II: Tensor, codes_IO: Tensor, scale_IO: Tensor) -> Tensor:
    """Give each weight in turn the code that is best while all others stay; one sweep."""
    codes_IO = codes_IO.clone()
    slope_IO = moment_II @ (codes_IO * scale_IO - weight_IO)
    diagonal_I = moment_II.diagonal()
    for start in range(0, len(codes_IO), BLOCK):
        stop = min(start + BLOCK, len(codes_IO))
        block_slope_BO = slope_IO[start:stop].clone()
        before_BO = codes_IO[start:stop].clone()
        for i in range(start, stop):
            scale_O = scale_IO[i]
            wanted_O = codes_IO[i] * scale_O - block_slope_BO[i - start] / diagonal_I[i]
            new_O = _nearest(wanted_O, scale_O)
            step_O = (new_O - codes_IO[i]) * scale_O
            block_slope_BO += moment_II[start:stop, i, None] * step_O
            codes_IO[i] = new_O
        moved_BO = (codes_IO[start:stop] - before_BO) * scale_IO[start:stop]
        slope_IO += moment_II[:, start:stop] @ moved_BO
    return codes_IO
