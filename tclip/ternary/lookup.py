"""Embeddings in training: of a table the rows that a batch looks up are quantized, not all of them.

The token table is the largest ternary weight of a small CLIP, and a batch names some hundred of its rows.

R rows that are looked up, B ids, in any shape, D width.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class TernaryEmbedding(nn.Embedding):
    """What an nn.Embedding is while it has latent weights: the same answers and gradients for less work."""

    def forward(self, input: Int[Tensor, "*B"]) -> Float[Tensor, "*B D"]:
        """Return the rows that the ids name."""
        # How many rows there are differs by batch: a graph would break. Of no rows there is no quantizing.
        if torch.compiler.is_compiling() or not input.numel():
            return super().forward(input)
        chain: Any = self.get_submodule("parametrizations.weight")
        row_R, place_B = input.unique(return_inverse=True)
        return nn.functional.embedding(place_B, chain[0].of_rows(chain.original, row_R))


def quantize_looked_up(module: nn.Module, granularity: str) -> None:
    """Make a module quantize only what it looks up, in place, if it is an embedding that can.

    Left as it is: one whose rows share a scale, or with an option that goes by the whole table.
    """
    if type(module) is not nn.Embedding or granularity == "tensor":
        return
    options = (module.padding_idx, module.max_norm, module.scale_grad_by_freq or None, module.sparse or None)
    if all(option is None for option in options):
        module.__class__ = TernaryEmbedding


def quantize_whole(module: nn.Module) -> None:
    """Take quantize_looked_up back, in place."""
    if isinstance(module, TernaryEmbedding):
        module.__class__ = nn.Embedding  # type: ignore[assignment]
