"""One layer: its tokens summed, its codes and scales chosen, its bias re-fitted; one norm likewise.

N tokens, I inputs, O outputs, V words.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tclip.calibrate.moments import Moments
from tclip.calibrate.rows import solve_in_turn
from tclip.calibrate.solver import solve
from tclip.recipe.quantize import Quantize
from tclip.recipe.schema import Calibrate
from tclip.ternary.integers import round_weight
from tclip.ternary.tensor import CodedTensor

NORM_RIDGE = 0.3  # as a share of the mean variance: with less, the gains fit the calibration pairs only
TABLE_DAMPING = (
    0.1  # ridge on an embedding's output moments: they come from many tokens, and hold for all words
)
Chunk = tuple[Tensor, Tensor, Tensor, Tensor | None]


@dataclass(frozen=True)
class Outcome:
    """What became of a layer; errors as in LayerReport."""

    weight: CodedTensor
    error: float
    rounded_error: float


def weight_name(module: nn.Module) -> str:
    """Return the attribute that holds a layer's weight."""
    return "in_proj_weight" if isinstance(module, nn.MultiheadAttention) else "weight"


def bias_of(module: nn.Module) -> nn.Parameter | None:
    """Return a layer's bias, if it has one."""
    return getattr(module, "in_proj_bias" if isinstance(module, nn.MultiheadAttention) else "bias")


def tokens(module: nn.Module, x: Tensor) -> Float[Tensor, "N I"]:
    """Return a layer's input as one row a token; a convolution's tokens are its patches."""
    if not isinstance(module, nn.Conv2d):
        return x.flatten(0, -2)
    padding: Any = 0 if module.padding == "valid" else module.padding
    patches_BIN = nn.functional.unfold(
        x, module.kernel_size, dilation=module.dilation, padding=padding, stride=module.stride
    )
    return patches_BIN.transpose(1, 2).flatten(0, 1)


@torch.no_grad()
def sum_tokens(original: nn.Module, chunks: Iterable[Chunk]) -> Moments:
    """Sum what a layer sees in the student and what it should answer.

    Args:
        original: the layer of the original.
        chunks: (input in the original, input in the student, weight of each token, what the student's
            residual stream lacks or None).
    """
    weight_OI, bias = getattr(original, weight_name(original)).flatten(1), bias_of(original)
    moments = Moments(weight_OI.shape[1], weight_OI.shape[0], weight_OI.device)
    for original_x, student_x, weight_N, lacking in chunks:
        wanted_NO = nn.functional.linear(tokens(original, original_x), weight_OI, bias)
        if lacking is not None:
            wanted_NO = wanted_NO + lacking.flatten(0, -2)
        moments.add(tokens(original, student_x), wanted_NO, weight_N)
    return moments


@torch.no_grad()
def calibrate_layer(
    original: nn.Module,
    student: nn.Module,
    moments: Moments,
    quantize: Quantize,
    settings: Calibrate,
    bits: int | None = None,
    output_OO: Float[Tensor, "O O"] | None = None,
) -> Outcome:
    """Choose a layer's codes (ternary, or of 4 or 8 bits) and scales, and its bias; put them in place.

    Args:
        original, student: the layer in both models.
        moments: of its tokens.
        quantize, settings: of the recipe.
        bits: 4 or 8, None for ternary codes.
        output_OO: what the embedding makes of its outputs (importance.py), where that is known.
    """
    name, bias = weight_name(original), bias_of(original)
    weight = getattr(original, name)
    plain = chosen = round_weight(weight, bits, quantize.quantizer, quantize.scale)
    if settings.method == "gptq":
        chosen = _solve(weight, moments, bias, quantize, settings, bits, output_OO)
    getattr(student, name).copy_(chosen.dense())
    if settings.refit:
        refit_bias(student, moments)
    error = moments.error(chosen.dense().flatten(1), bias_of(student))
    return Outcome(chosen, error, moments.error(plain.dense().flatten(1), bias))


@torch.no_grad()
def refit_bias(student: nn.Module, moments: Moments) -> None:
    """Re-fit a layer's bias, if it has one: the mean outputs become the wanted ones."""
    bias = bias_of(student)
    if bias is not None:
        bias.copy_(moments.bias(getattr(student, weight_name(student)).flatten(1)))


def _solve(
    weight: Tensor,
    moments: Moments,
    bias: Tensor | None,
    quantize: Quantize,
    settings: Calibrate,
    bits: int | None,
    output_OO: Tensor | None,
) -> CodedTensor:
    fit = moments.fit(bias is not None and settings.refit, bias)
    # What the float layer would best be on the student's own inputs, instead of the original's weight.
    target = fit.regressed(weight.flatten(1), settings.damping).reshape(weight.shape)
    return solve_in_turn(
        target,
        fit.moment_II,
        output_OO,
        quantizer=quantize.quantizer,
        granularity=quantize.scale,
        bits=bits,
        damping=settings.damping,
    )


@torch.no_grad()
def calibrate_table(
    original: nn.Embedding,
    student: nn.Embedding,
    output_OO: Float[Tensor, "O O"],
    quantize: Quantize,
    bits: int | None = None,
) -> Outcome:
    """Choose codes and scales of an embedding table; put them in place.

    A row is the output for its word: what is kept is what the embedding makes of it. Errors are relative to
    the rows themselves, all words alike.

    Args:
        original, student: the table in both models.
        output_OO: what the embedding makes of the outputs (importance.py).
        quantize: of the recipe.
        bits: 4 or 8, None for ternary codes.
    """
    weight = original.weight
    plain = round_weight(weight, bits, quantize.quantizer, quantize.scale)
    chosen = solve(
        weight,
        output_OO,
        quantizer=quantize.quantizer,
        granularity=quantize.scale,
        bits=bits,
        damping=TABLE_DAMPING,
    )
    student.weight.copy_(chosen.dense())

    def error(found: CodedTensor) -> float:
        missed_VO = found.dense() - weight
        return float(((missed_VO @ output_OO) * missed_VO).sum() / ((weight @ output_OO) * weight).sum())

    return Outcome(chosen, error(chosen), error(plain))


@torch.no_grad()
def refit_norm(original: Any, student: Any, chunks: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Re-fit gain and bias of a layer norm, channel by channel, to the original norm's outputs.

    Args:
        original, student: the two norms.
        chunks: (input in the original, input in the student, weight of each token).
    """
    sums: Any = 0
    for original_x, student_x, weight_N in chunks:
        y_ND = original(original_x).flatten(0, -2).double()
        z = nn.functional.layer_norm(student_x, student.normalized_shape, eps=student.eps)
        z_ND, weight_N1 = z.flatten(0, -2).double(), weight_N[:, None]
        products = [torch.ones_like(z_ND), z_ND, y_ND, z_ND * z_ND, z_ND * y_ND]
        sums = sums + torch.stack([(product * weight_N1).sum(0) for product in products])
    z_D, y_D, zz_D, zy_D = (sums / sums[0])[1:]
    variance_D, covariance_D = zz_D - z_D.square(), zy_D - z_D * y_D
    # z has the variance 1 over channels; over tokens it may have none, as that of one pooled token
    ridge = NORM_RIDGE * variance_D.mean().clamp(min=1e-6)
    gain_D = (covariance_D + ridge * original.weight.double()) / (variance_D + ridge)
    student.weight.copy_(gain_D)
    if student.bias is not None:
        student.bias.copy_(y_D - gain_D * z_D)
