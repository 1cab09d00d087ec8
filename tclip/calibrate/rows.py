"""The solver with an eye on the outputs: rows in turn, later ones make up for what earlier ones missed.

Outputs do not matter alike, and an error in one can be taken back by others. To second order the loss is
tr(G E H E^T) for an error E of the weight, H the second moments of the inputs and G those of the slopes of
the embedding at the outputs (K-FAC, arXiv 1503.05671; for rounding: YAQA, arXiv 2505.22988). Given the errors
of some rows, the best float change of all other rows is -G_rr^-1 G_rq times them, whatever H is. So blocks of
rows are solved one after the other, each moved by what the blocks before it missed: GPTQ, across outputs.

O outputs (rows), I inputs.
"""

from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from tclip.calibrate.solver import Measure, damped, solve_by
from tclip.calibrate.sweeps import inverse_factor
from tclip.ternary.tensor import CodedTensor

BLOCKS = 4  # rows of a block do not know of each other; more blocks know more and take longer
OUTPUT_DAMPING = 0.5  # ridge on G as a share of its mean diagonal


def solve_in_turn(
    target: Float[Tensor, "O ..."],
    moment_II: Float[Tensor, "I I"],
    output_OO: Float[Tensor, "O O"] | None,
    *,
    quantizer: str,
    granularity: str,
    bits: int | None,
    damping: float,
) -> CodedTensor:
    """Find codes and scales that change the embedding little; arguments as of `solve`.

    Rows that share one scale (granularity "tensor"), and weights of 4 or 8 bits, whose errors are small
    enough to be left alone, are solved without looking at the outputs.

    Args:
        target: the weight whose output is to be kept.
        moment_II: second moments of the inputs.
        output_OO: second moments of the slopes at the outputs; None: nothing is known of them.
        quantizer, granularity, bits, damping: see `solve`.
    """
    measure = Measure.of(moment_II, damping)
    solved = partial(solve_by, measure, quantizer=quantizer, granularity=granularity, bits=bits)
    if output_OO is None or granularity == "tensor" or bits is not None:
        return solved(target)
    order_O = output_OO.diagonal().argsort(descending=True, stable=True)
    factor_OO = inverse_factor(damped(output_OO[order_O][:, order_O], OUTPUT_DAMPING))
    wanted_OI = target.detach().reshape(len(target), -1).float()[order_O]
    codes, scales = [], []
    for rows_O in torch.arange(len(wanted_OI)).chunk(BLOCKS):
        start, stop = int(rows_O[0]), int(rows_O[-1]) + 1
        chosen = solved(wanted_OI[start:stop])
        missed = wanted_OI[start:stop] - chosen.dense()
        own, others = factor_OO[start:stop, start:stop], factor_OO[start:stop, stop:]
        wanted_OI[stop:] -= torch.linalg.solve_triangular(own, others, upper=True).T @ missed
        codes.append(chosen.codes)
        scales.append(chosen.scale_RG)
    back_O = order_O.argsort()
    joined = torch.cat(codes)[back_O].reshape(target.shape)
    return replace(chosen, codes=joined, scale_RG=torch.cat(scales)[back_O])
