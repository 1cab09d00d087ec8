"""The solver's two loops over inputs: error compensation (GPTQ) and coordinate descent.

A step of either works on one number a row. In torch the overhead of a call would be most of its time, so the
steps are numpy's, on the memory of the torch tensors (of the CPU); what spans many inputs is torch's.

O outputs (rows), I inputs, B inputs of a block.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 64  # inputs between two updates of all the others: the bulk of the work becomes matrix products
_TINY = np.float32(1e-12)
Array = np.ndarray


class Turns(NamedTuple):
    """Whose turn it is to be rounded, largest moment first, and what the later ones take over of a miss."""

    order_I: Tensor
    factor_II: Tensor


def turns(moment_II: Float[Tensor, "I I"]) -> Turns:
    """Return the turns of inputs with these second moments: half of the work, the same for all rows."""
    order_I = moment_II.diagonal().argsort(descending=True, stable=True)
    factor_II = inverse_factor(moment_II[order_I][:, order_I])
    return Turns(order_I, factor_II / factor_II.diagonal()[:, None])


def compensated(
    weight_IO: Float[Tensor, "I O"], turns: Turns, scale_IO: Float[Tensor, "I O"], largest: int = 1
) -> Float[Tensor, "I O"]:
    """Round input by input; those still to come take over what each one misses.

    GPTQ, arXiv 2210.17323, algorithm 1. Codes are whole numbers up to `largest` in magnitude.
    """
    order_I, factor_II = turns
    open_IO, scale_IO = weight_IO[order_I], scale_IO[order_I].contiguous()
    codes_IO, missed_IO = torch.empty_like(open_IO), torch.empty_like(open_IO)
    waiting, scales, codes, missed, factor = (
        x.numpy() for x in (open_IO, scale_IO, codes_IO, missed_IO, factor_II)
    )
    for start in range(0, len(open_IO), BLOCK):
        stop = min(start + BLOCK, len(open_IO))
        for i in range(start, stop):
            codes[i] = _nearest(waiting[i], scales[i], largest)
            missed[i] = waiting[i] - codes[i] * scales[i]
            waiting[i + 1 : stop] -= factor[i, i + 1 : stop, None] * missed[i]
        open_IO[stop:] -= factor_II[start:stop, stop:].T @ missed_IO[start:stop]
    unordered_IO = torch.empty_like(codes_IO)
    unordered_IO[order_I] = codes_IO
    return unordered_IO


def descended(
    weight_IO: Float[Tensor, "I O"],
    moment_II: Float[Tensor, "I I"],
    codes_IO: Float[Tensor, "I O"],
    scale_IO: Float[Tensor, "I O"],
    largest: int = 1,
) -> Float[Tensor, "I O"]:
    """Give each weight in turn the code that is best while all others stay; one sweep."""
    codes_IO, scale_IO = codes_IO.clone(), scale_IO.contiguous()
    slope_IO = moment_II @ (codes_IO * scale_IO - weight_IO)
    codes, scales, moment = codes_IO.numpy(), scale_IO.numpy(), moment_II.contiguous().numpy()
    for start in range(0, len(codes_IO), BLOCK):
        stop = min(start + BLOCK, len(codes_IO))
        before_BO = codes_IO[start:stop].clone()
        slope = slope_IO[start:stop].numpy().copy()
        for i in range(start, stop):
            wanted = codes[i] * scales[i] - slope[i - start] / moment[i, i]
            new = _nearest(wanted, scales[i], largest)
            slope += moment[start:stop, i, None] * ((new - codes[i]) * scales[i])
            codes[i] = new
        moved_BO = (codes_IO[start:stop] - before_BO) * scale_IO[start:stop]
        slope_IO += moment_II[:, start:stop] @ moved_BO
    return codes_IO


def inverse_factor(moment_II: Float[Tensor, "I I"]) -> Float[Tensor, "I I"]:
    """Return the upper Cholesky factor of the inverse of a positive definite matrix."""
    inverse_II = torch.cholesky_inverse(torch.linalg.cholesky(moment_II.double()))
    return torch.linalg.cholesky(inverse_II, upper=True).float()


def _nearest(value: Array, scale: Array, largest: int) -> Array:
    return np.clip(np.rint(value / np.maximum(scale, _TINY)), -largest, largest)
