"""What the embedding makes of each layer's output, from one backward pass of the original a chunk.

A layer's error in tokens that never reach the embedding (the patches behind the last attention, the
texts' padding) is no error. The others count by |dL/dy|, L a random projection of the embedding and y
the layer's output at the token: the square root of the diagonal Fisher weight, which steadied the
calibrated models more than the Fisher weight itself or plain counting. Among the outputs of a token, what
an error does to the embedding is told by the second moments of the slopes dL/dy.

N tokens of a chunk, O outputs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tclip.models.clip import Inputs

TokenWeights = dict[str, list[Float[Tensor, " N"]]]
WATCHED = (nn.Linear, nn.Conv2d, nn.Embedding)


@dataclass
class Importance:
    """What is known of a tower's layers, by name.

    Attributes:
        tokens: how much each token counts, one tensor a chunk, mean 1 over all of them.
        outputs: second moments [O, O] of the slopes at the outputs, each token's divided by its length (the
            tokens' weights hold that); of an embedding, each token's scaled to length 1: a word does not
            matter more because it was seen where it mattered.
    """

    tokens: TokenWeights = field(default_factory=dict)
    outputs: dict[str, Float[Tensor, "O O"]] = field(default_factory=dict)

    def add(self, name: str, slope_NO: Float[Tensor, "N O"], power: int) -> None:
        """Add the slopes of one chunk, each divided by its length to the `power` / 2."""
        length_N = slope_NO.norm(dim=1)
        scaled_NO = slope_NO / length_N[:, None].clamp(min=_TINY).pow(power / 2)
        self.tokens.setdefault(name, []).append(length_N)
        self.outputs[name] = self.outputs.get(name, 0) + scaled_NO.T @ scaled_NO


_TINY = 1e-20


def importance(
    embed: Callable[[Inputs], Tensor],
    layers: Mapping[str, nn.Module],
    chunks: Iterable[Inputs],
    seed: int = 0,
) -> Importance:
    """Return how much each token and each output of each layer matters.

    Args:
        embed: one tower of the original, inputs -> embeddings [B, E].
        layers: the modules looked at, by name; those that are not linear, a convolution or an embedding, that
            do not run, or that the embedding does not depend on, are absent from the answer.
        chunks: the tower's inputs.
        seed: of the random projection.
    """
    layers = {name: layer for name, layer in layers.items() if isinstance(layer, WATCHED)}
    found = Importance()
    for index, chunk in enumerate(chunks):
        for name, slope_NO in _of_chunk(embed, layers, chunk, seed + index).items():
            found.add(name, slope_NO, 2 if isinstance(layers[name], nn.Embedding) else 1)
    means = {name: float(torch.cat(parts).mean()) for name, parts in found.tokens.items()}
    found.tokens = {n: [part / means[n] for part in parts] for n, parts in found.tokens.items() if means[n]}
    found.outputs = {name: found.outputs[name] for name in found.tokens}
    return found


def weight_of(weights: Mapping[str, Sequence[Tensor]], name: str, chunk: int, x_NI: Tensor) -> Tensor:
    """Return how much each token of a layer counts, [N]: all the same where nothing is known of it."""
    known = weights.get(name)
    if known is None or len(known[chunk]) != len(x_NI):
        return torch.ones(len(x_NI), device=x_NI.device)
    return known[chunk]


def _of_chunk(
    embed: Callable[[Inputs], Tensor], layers: Mapping[str, nn.Module], chunk: Inputs, seed: int
) -> dict[str, Tensor]:
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda _module, _args, output: outputs.update({name: output})

    handles = [module.register_forward_hook(keep(name)) for name, module in layers.items()]
    try:
        with torch.enable_grad():
            embedding_BE = embed(chunk)
            generator = torch.Generator().manual_seed(seed)
            direction_BE = torch.randn(embedding_BE.shape, generator=generator).to(embedding_BE.device)
            total = (embedding_BE * direction_BE).sum()
            slopes = torch.autograd.grad(total, list(outputs.values()), allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    return {name: _rows(slope) for name, slope in zip(outputs, slopes, strict=True) if slope is not None}


def _rows(slope: Tensor) -> Float[Tensor, "N O"]:
    """Return the slopes as one row a token; a convolution's output is [B, C, H, W]."""
    return (slope.flatten(2).transpose(1, 2) if slope.ndim == 4 else slope).flatten(0, -2)
