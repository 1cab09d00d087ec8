"""How much each token of each layer matters to the embedding, from one backward pass of the original.

A layer's error in tokens that never reach the embedding (the patches behind the last attention, the
texts' padding) is no error. The others count by |dL/dy|, L a random projection of the embedding and y
the layer's output at the token: the square root of the diagonal Fisher weight, which steadied the
calibrated models more than the Fisher weight itself or plain counting.

N tokens of a chunk.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tclip.models.clip import Inputs

TokenWeights = dict[str, list[Float[Tensor, " N"]]]


def token_weights(
    embed: Callable[[Inputs], Tensor],
    layers: Mapping[str, nn.Module],
    chunks: Iterable[Inputs],
    seed: int = 0,
) -> TokenWeights:
    """Return the weight of each token for each layer, one tensor a chunk, mean 1 over all of them.

    Args:
        embed: one tower of the original, inputs -> embeddings [B, E].
        layers: the modules looked at (linear, convolution), by name; those that do not run, or that the
            embedding does not depend on, are absent from the answer.
        chunks: the tower's inputs.
        seed: of the random projection.
    """
    weights: TokenWeights = {}
    for index, chunk in enumerate(chunks):
        for name, weight_N in _of_chunk(embed, layers, chunk, seed + index).items():
            weights.setdefault(name, []).append(weight_N)
    means = {name: float(torch.cat(parts).mean()) for name, parts in weights.items()}
    return {name: [part / means[name] for part in parts] for name, parts in weights.items() if means[name]}


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
    return {name: _norms(slope) for name, slope in zip(outputs, slopes, strict=True) if slope is not None}


def _norms(slope: Tensor) -> Tensor:
    channels = 1 if slope.ndim == 4 else -1  # a convolution's output is [B, C, H, W]
    return slope.norm(dim=channels).flatten()
