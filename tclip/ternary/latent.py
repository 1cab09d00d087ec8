"""Training with ternary weights: float latent weights below, scale x code above, gradients straight through.

Each weight gets a torch parametrization, so every layer that has one (linear, embedding, convolution, the
fused projection of nn.MultiheadAttention) is trained by the same few lines.

R rows with scales, G groups a row, N weights to a scale.
"""

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tclip.ternary.granularity import grouped
from tclip.ternary.lookup import quantize_looked_up, quantize_whole
from tclip.ternary.quantizers import QUANTIZERS, codes_of, ternarize
from tclip.ternary.straight_through import StraightThrough
from tclip.ternary.tensor import TernaryTensor

LEAST_MARGIN = 1e-3  # rounding of the scale must not move an edge across a weight


class LatentTernary(nn.Module):
    """The parametrization of one weight.

    With the quantizer "learned" the scale is a parameter, kept as its logarithm: it cannot turn
    negative, and one learning rate means the same relative change for every scale. With any other
    quantizer the scale follows from the latent weights at each step.

    Attributes:
        strength: in [0, 1]; 0 leaves the latent weights as they are, 1 is fully ternary.
    """

    def __init__(self, weight: Float[Tensor, "..."], quantizer: str, granularity: str) -> None:
        super().__init__()
        self.strength = 1.0
        self.quantizer = quantizer
        self.granularity = granularity
        self.log_scale_RG: nn.Parameter | None = None
        if quantizer == "learned":
            scale_RG = ternarize(weight, quantizer, granularity).scale_RG
            self.log_scale_RG = nn.Parameter(_log(scale_RG))

    def forward(self, latent: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the weight that the layer computes with, in the shape of the latent weight."""
        return self._quantized(latent, self.log_scale_RG)

    def of_rows(self, latent: Float[Tensor, "A ..."], row_R: Int[Tensor, " R"]) -> Float[Tensor, "R ..."]:
        """Return these rows of the weight that the layer computes with; not if all rows share a scale.

        Args:
            latent: the whole latent weight, of A rows.
            row_R: which rows, each once.
        """
        log_scale_RG = self.log_scale_RG
        return self._quantized(latent[row_R], None if log_scale_RG is None else log_scale_RG[row_R])

    def _quantized(self, latent: Tensor, log_scale_RG: Tensor | None) -> Tensor:
        latent_RGN = grouped(latent, self.granularity)
        scale_RG1, threshold_RG1 = self._scale_and_threshold(latent_RGN, log_scale_RG)
        ternary_RGN = StraightThrough.apply(latent_RGN, scale_RG1, threshold_RG1, self.strength)
        return ternary_RGN.reshape(latent.shape)

    @torch.no_grad()
    def ternary(self, latent: Float[Tensor, "..."]) -> TernaryTensor:
        """Return the codes and scales that the latent weight stands for."""
        latent_RGN = grouped(latent, self.granularity)
        scale_RG1, threshold_RG1 = self._scale_and_threshold(latent_RGN, self.log_scale_RG)
        codes = codes_of(latent_RGN, threshold_RG1).reshape(latent.shape)
        return TernaryTensor(codes, scale_RG1.squeeze(-1).detach().float())

    def _scale_and_threshold(self, latent_RGN: Tensor, log_scale_RG: Tensor | None) -> tuple[Tensor, Tensor]:
        if log_scale_RG is None:
            return QUANTIZERS[self.quantizer](latent_RGN.detach().abs())
        scale_RG1 = log_scale_RG.exp()[:, :, None]
        return scale_RG1, scale_RG1.detach() / 2


def attach(
    model: nn.Module,
    names: Mapping[str, TernaryTensor | None],
    quantizer: str,
    granularity: str,
    margin: float = 0.0,
) -> None:
    """Make the named weights of a model trainable ternary weights, in place.

    Args:
        model: the model, with its original float weights as latent weights.
        names: parameter name -> the ternary weight to start from, or None to start from rounding.
            A start with the quantizer "learned" keeps its scales, and each latent weight is moved into
            the cell of its code, as little as possible.
        quantizer: a name of QUANTIZERS.
        granularity: "tensor", "row" or "group:N".
        margin: of `into_cells`, for weights with a start.
    """
    for name, start in names.items():
        module, parameter_name = owner(model, name)
        weight = getattr(module, parameter_name)
        latent = LatentTernary(weight, quantizer, granularity if start is None else start.granularity)
        if start is not None and latent.log_scale_RG is not None:
            with torch.no_grad():
                latent.log_scale_RG.copy_(_log(start.scale_RG))
                weight.copy_(into_cells(weight, start, margin))
        quantize_looked_up(module, latent.granularity)
        parametrize.register_parametrization(module, parameter_name, latent)


def into_cells(weight: Float[Tensor, "..."], start: TernaryTensor, margin: float) -> Float[Tensor, "..."]:
    """Return the weights nearest to the given ones that lie in the cells of the codes of `start`.

    Calibration gives many weights another code than their nearest. Such a weight, moved no further than
    the edge of its cell, would have either code as rounding has it, and fall back with the first noise of
    training; a margin keeps it.

    Args:
        weight: the original weight.
        start: the codes and scales to start from.
        margin: least distance from the cell's edges, as a share of the scale, in [0, 0.5]: at 0.5 weights of
            the code 0 are 0. Less than LEAST_MARGIN counts as that.
    """
    margin = max(margin, LEAST_MARGIN)
    rows, groups = start.scale_RG.shape
    codes_RGN = start.codes.reshape(rows, groups, -1)
    ratio_RGN = (
        weight.detach().float().reshape(rows, groups, -1) / start.scale_RG.clamp(min=_TINY)[:, :, None]
    )
    edge = 0.5
    low_RGN = torch.where(
        codes_RGN > 0, edge + margin, torch.where(codes_RGN < 0, -torch.inf, -edge + margin)
    )
    high_RGN = torch.where(
        codes_RGN < 0, -edge - margin, torch.where(codes_RGN > 0, torch.inf, edge - margin)
    )
    inside_RGN = torch.minimum(torch.maximum(ratio_RGN, low_RGN), high_RGN)
    return (inside_RGN * start.scale_RG.clamp(min=_TINY)[:, :, None]).reshape(weight.shape)


def latent_weights(model: nn.Module) -> Iterator[tuple[str, LatentTernary, Tensor]]:
    """Yield (parameter name, parametrization, latent weight) of every trainable ternary weight."""
    for module_name, module in model.named_modules():
        if not parametrize.is_parametrized(module):
            continue
        for parameter_name, chain in module.parametrizations.items():
            if isinstance(chain[0], LatentTernary):
                yield f"{module_name}.{parameter_name}".lstrip("."), chain[0], chain.original


def set_strength(model: nn.Module, strength: float) -> None:
    """Set the strength of quantization, in [0, 1], of every trainable ternary weight."""
    for _, latent, _ in latent_weights(model):
        latent.strength = strength


def ternary_tensors(model: nn.Module) -> dict[str, TernaryTensor]:
    """Return the codes and scales that a model in training stands for, by parameter name."""
    return {name: latent.ternary(weight) for name, latent, weight in latent_weights(model)}


def detach(model: nn.Module) -> dict[str, TernaryTensor]:
    """End training: put plain dense weights scale x code in place, and return the codes and scales."""
    tensors = ternary_tensors(model)
    for name, tensor in tensors.items():
        module, parameter_name = owner(model, name)
        parametrize.remove_parametrizations(module, parameter_name, leave_parametrized=False)
        quantize_whole(module)
        with torch.no_grad():
            getattr(module, parameter_name).copy_(tensor.dense())
    return tensors


def owner(model: nn.Module, parameter_name: str) -> tuple[nn.Module, str]:
    """Return (module, attribute) of a dotted parameter name."""
    module_name, _, attribute = parameter_name.rpartition(".")
    return model.get_submodule(module_name), attribute


_TINY = 1e-12


def _log(scale_RG: Tensor) -> Tensor:
    return scale_RG.detach().float().clamp(min=_TINY).log()
