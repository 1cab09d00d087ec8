"""The towers of a dual encoder as arrays: what is read from a packed file and given to whoever runs it.

B batch, C channels, D width of a token, E embedding, G groups of inputs with a scale each, I inputs,
N positions, O outputs, V vocabulary.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

ActivationName = Literal["quick_gelu", "gelu", "gelu_tanh"]


@dataclass(frozen=True)
class Matrix:
    """A weight [O, I] as the file stores it: dense, or coded.

    Attributes:
        shape: (O, I).
        dense_OI: float16 or float32, a view of the mapped file; None if coded.
        codes: uint8, flat bytes (docs/format.md), a view of the mapped file; None if dense.
        bits: of a code: 2 (ternary), 4 or 8.
        first_code: where this matrix begins in `codes`, in codes; not 0 for rows of a larger weight.
        scale_OG: float32 [O, G], the scale of each row's groups of I / G inputs; None if dense.
    """

    shape: tuple[int, int]
    dense_OI: np.ndarray | None = None
    codes: np.ndarray | None = None
    bits: int = 2
    first_code: int = 0
    scale_OG: np.ndarray | None = None

    def rows(self, first: int, count: int) -> "Matrix":
        """Return some rows, without a copy."""
        inputs = self.shape[1]
        if self.dense_OI is not None:
            return Matrix((count, inputs), dense_OI=self.dense_OI[first : first + count])
        assert self.scale_OG is not None
        return Matrix(
            (count, inputs),
            codes=self.codes,
            bits=self.bits,
            first_code=self.first_code + first * inputs,
            scale_OG=self.scale_OG[first : first + count],
        )


@dataclass(frozen=True)
class Linear:
    """A linear layer: x_I -> matrix x + bias_O (float32, or none)."""

    matrix: Matrix
    bias_O: np.ndarray | None


@dataclass(frozen=True)
class Norm:
    """A layer norm with float32 weight_D and bias_D."""

    weight_D: np.ndarray
    bias_D: np.ndarray
    eps: float


@dataclass(frozen=True)
class Attention:
    """Multi-head attention; each head has D / heads of the width, scores are divided by its root."""

    heads: int
    query: Linear
    key: Linear
    value: Linear
    out: Linear


@dataclass(frozen=True)
class Mlp:
    """A feed-forward layer: fc2(activation(fc1(x)))."""

    fc1: Linear
    fc2: Linear
    activation: ActivationName


@dataclass(frozen=True)
class Block:
    """A pre-norm residual block: x += attention(norm1(x)); x += mlp(norm2(x))."""

    norm1: Norm
    attention: Attention
    norm2: Norm
    mlp: Mlp


@dataclass(frozen=True)
class AttentionPool:
    """SigLIP's head: a learned query probe_D attends to all tokens; y + mlp(norm(y)) is the pooled vector."""

    probe_D: np.ndarray
    attention: Attention
    norm: Norm
    mlp: Mlp


@dataclass(frozen=True)
class ImageTower:
    """From pixels to an embedding.

    Attributes:
        channels: of a picture.
        image_size: its side in pixels.
        patch_size: side of a patch in pixels; (image_size // patch_size) squared patches are tokens.
        patch: embeds a patch, its inputs in the order channel, row, column.
        class_D: the class token, which comes first; None where there is none.
        position_ND: float32, of every token.
        norm_in: applied to the tokens before the blocks, or None.
        blocks: at least one.
        norm_out: applied after the blocks: to all tokens before `pool`, or to the pooled token.
        pool: SigLIP's head; None pools the first token.
        projection: to the embedding, or None.
    """

    channels: int
    image_size: int
    patch_size: int
    patch: Linear
    class_D: np.ndarray | None
    position_ND: np.ndarray
    norm_in: Norm | None
    blocks: tuple[Block, ...]
    norm_out: Norm
    pool: AttentionPool | None
    projection: Linear | None


@dataclass(frozen=True)
class TextTower:
    """From token ids to an embedding: the last token that is given is pooled.

    Attributes:
        table: the token embeddings [V, D].
        position_ND: float32, of every position.
        causal: whether a token sees only those before it.
        blocks: at least one.
        norm_out: applied to the pooled token.
        projection: to the embedding, or None.
    """

    table: Matrix
    position_ND: np.ndarray
    causal: bool
    blocks: tuple[Block, ...]
    norm_out: Norm
    projection: Linear | None
