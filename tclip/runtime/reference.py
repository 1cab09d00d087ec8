"""The towers run by numpy: what the native code must agree with, and what runs where there is none.

Slow and obvious. The input of every coded layer is rounded as in training with int8 activations, per token
and symmetric: s = max|x| / 127, q = rint(x / s); the product of q with the codes is exact.

B batch, C channels, D width, E embedding, G groups of inputs, H heads, I inputs, M tokens, N keys, O outputs,
P patches, R depth of a head.
"""

from collections.abc import Callable, Sequence
from math import erf

import numpy as np

from tclip.runtime.coded import check_bytes
from tclip.runtime.fitting import check_image_tower, check_text_tower
from tclip.runtime.weights import (
    ActivationName,
    Attention,
    AttentionPool,
    Block,
    ImageTower,
    Linear,
    Matrix,
    Mlp,
    Norm,
    TextTower,
)

LARGEST_CODE = 127
PLACES = {3: (81, 27, 9, 3, 1), 16: (16, 1), 256: (1,)}  # of the digits in a byte, by their base
SMALLEST_BOUND = np.float32(np.finfo(np.float32).tiny * LARGEST_CODE)
# erf of the steps of 1/1024 in [-4, 4]; between them it is a straight line within 1.2e-7
_ERF_STEPS = np.linspace(-4, 4, 8193)
_ERF = np.array([erf(step) for step in _ERF_STEPS])


class NumpyImageTower:
    """An image tower in numpy; see native.py for its twin, which refuses the same."""

    def __init__(self, tower: ImageTower) -> None:
        check_image_tower(tower)
        self._tower = tower

    def __call__(self, pixel_BCHW: np.ndarray) -> np.ndarray:
        """Return embeddings [B, E], float32, not normalised, of float32 pixels [B, C, H, W]."""
        tower = self._tower
        width = tower.position_ND.shape[1]
        size = width if tower.projection is None else tower.projection.matrix.shape[0]
        embeddings = [self._encode(pixel_CHW) for pixel_CHW in pixel_BCHW]
        return np.stack(embeddings) if embeddings else np.empty((0, size), np.float32)

    def _encode(self, pixel_CHW: np.ndarray) -> np.ndarray:
        tower = self._tower
        x_MD = _linear(tower.patch, _patches(pixel_CHW, tower.patch_size))
        if tower.class_D is not None:
            x_MD = np.concatenate([tower.class_D[None], x_MD])
        x_MD = x_MD + tower.position_ND
        if tower.norm_in is not None:
            x_MD = _norm(tower.norm_in, x_MD)
        for block in tower.blocks:
            x_MD = _block(block, x_MD, causal=False)
        x_MD = _norm(tower.norm_out, x_MD)
        pooled_1D = x_MD[:1] if tower.pool is None else _attention_pool(tower.pool, x_MD)
        return (pooled_1D if tower.projection is None else _linear(tower.projection, pooled_1D))[0]


class NumpyTextTower:
    """A text tower in numpy; see native.py for its twin, which refuses the same."""

    def __init__(self, tower: TextTower) -> None:
        check_text_tower(tower)
        self._tower = tower

    def __call__(self, ids: Sequence[np.ndarray]) -> np.ndarray:
        """Return embeddings [B, E], float32, not normalised, of B texts' token ids (int32, 1 axis each).

        Raises:
            ValueError: a text without tokens, with more than there are positions, or with an unknown id.
        """
        tower = self._tower
        width = tower.position_ND.shape[1]
        size = width if tower.projection is None else tower.projection.matrix.shape[0]
        embeddings = [self._encode(text) for text in ids]
        return np.stack(embeddings) if embeddings else np.empty((0, size), np.float32)

    def _encode(self, ids_M: np.ndarray) -> np.ndarray:
        tower = self._tower
        if not 0 < len(ids_M) <= len(tower.position_ND):
            raise ValueError("a text has no tokens, or more tokens than there are positions")
        if ids_M.min() < 0 or ids_M.max() >= tower.table.shape[0]:
            raise ValueError("a token id is unknown")
        x_MD = _dense_rows(tower.table, ids_M) + tower.position_ND[: len(ids_M)]
        for block in tower.blocks:
            x_MD = _block(block, x_MD, tower.causal)
        pooled_1D = _norm(tower.norm_out, x_MD[-1:])
        return (pooled_1D if tower.projection is None else _linear(tower.projection, pooled_1D))[0]


def codes_of(matrix: Matrix, first_row: int = 0, num_rows: int | None = None) -> np.ndarray:
    """Return codes of a matrix, int8 [rows, I], in {-1, 0, 1} of a ternary one.

    Raises:
        ValueError: a byte that is no code, or fewer bytes than the shape needs.
    """
    outputs, inputs = matrix.shape
    num_rows = outputs if num_rows is None else num_rows
    base = 3 if matrix.bits == 2 else 2**matrix.bits
    places = PLACES[base]
    first = matrix.first_code + first_row * inputs
    end = -(-(first + num_rows * inputs) // len(places))
    if matrix.codes is None or end > len(matrix.codes):
        raise ValueError("there are fewer codes than the shape needs")
    packed = matrix.codes[first // len(places) : end]
    check_bytes(packed, matrix.bits)
    digits = packed[:, None].astype(np.int16) // np.array(places) % base
    codes = digits.reshape(-1)[first % len(places) :][: num_rows * inputs] - base // 2
    return codes.astype(np.int8).reshape(num_rows, inputs)


def _patches(pixel_CHW: np.ndarray, patch: int) -> np.ndarray:
    channels, side = pixel_CHW.shape[0], pixel_CHW.shape[1] // patch
    cut = pixel_CHW[:, : side * patch, : side * patch].reshape(channels, side, patch, side, patch)
    return np.ascontiguousarray(cut.transpose(1, 3, 0, 2, 4)).reshape(side * side, -1)


def _dense_rows(matrix: Matrix, rows: np.ndarray) -> np.ndarray:
    """Rows of a token table, float32."""
    if matrix.dense_OI is not None:
        return matrix.dense_OI[rows].astype(np.float32)
    assert matrix.scale_OG is not None
    groups = matrix.scale_OG.shape[1]
    codes = np.concatenate([codes_of(matrix, int(row), 1) for row in rows])
    grouped = codes.reshape(len(rows), groups, -1) * matrix.scale_OG[rows][:, :, None]
    return grouped.reshape(len(rows), -1).astype(np.float32)


def _linear(linear: Linear, x_MI: np.ndarray) -> np.ndarray:
    matrix = linear.matrix
    y_MO = _dense_product(matrix, x_MI) if matrix.dense_OI is not None else _coded_product(matrix, x_MI)
    return y_MO if linear.bias_O is None else y_MO + linear.bias_O


def _dense_product(matrix: Matrix, x_MI: np.ndarray) -> np.ndarray:
    assert matrix.dense_OI is not None
    return x_MI @ matrix.dense_OI.astype(np.float32).T


def _coded_product(matrix: Matrix, x_MI: np.ndarray) -> np.ndarray:
    assert matrix.scale_OG is not None
    scale_M1 = np.maximum(np.abs(x_MI).max(1, keepdims=True), SMALLEST_BOUND) / np.float32(LARGEST_CODE)
    rounded_MI = np.rint(x_MI / scale_M1)
    outputs, inputs = matrix.shape
    groups = matrix.scale_OG.shape[1]
    rounded_MGI = rounded_MI.reshape(len(x_MI), groups, inputs // groups)
    codes_OGI = codes_of(matrix).astype(np.float32).reshape(outputs, groups, inputs // groups)
    # sums of integers below 2^24 are exact in float32; those of 8 bits may be larger, and are nearly so
    exact_GMO = rounded_MGI.transpose(1, 0, 2) @ codes_OGI.transpose(1, 2, 0)
    return scale_M1 * (exact_GMO * matrix.scale_OG.T[:, None, :]).sum(0, dtype=np.float32)


def _norm(norm: Norm, x_MD: np.ndarray) -> np.ndarray:
    centred_MD = x_MD - x_MD.mean(1, keepdims=True)
    variance_M1 = (centred_MD**2).mean(1, keepdims=True)
    return centred_MD / np.sqrt(variance_M1 + np.float32(norm.eps)) * norm.weight_D + norm.bias_D


def _block(block: Block, x_MD: np.ndarray, causal: bool) -> np.ndarray:
    normed_MD = _norm(block.norm1, x_MD)
    x_MD = x_MD + _attention(block.attention, normed_MD, normed_MD, causal)
    return x_MD + _mlp(block.mlp, _norm(block.norm2, x_MD))


def _attention_pool(pool: AttentionPool, x_MD: np.ndarray) -> np.ndarray:
    y_1D = _attention(pool.attention, pool.probe_D[None], x_MD, causal=False)
    return y_1D + _mlp(pool.mlp, _norm(pool.norm, y_1D))


def _attention(layers: Attention, query_MD: np.ndarray, key_ND: np.ndarray, causal: bool) -> np.ndarray:
    query_HMR = _heads(_linear(layers.query, query_MD), layers.heads)
    key_HNR = _heads(_linear(layers.key, key_ND), layers.heads)
    value_HNR = _heads(_linear(layers.value, key_ND), layers.heads)
    scores_HMN = query_HMR @ key_HNR.transpose(0, 2, 1) / np.float32(query_HMR.shape[-1] ** 0.5)
    if causal:
        scores_HMN = np.where(np.tri(*scores_HMN.shape[1:]) > 0, scores_HMN, np.float32(-np.inf))
    weights_HMN = np.exp(scores_HMN - scores_HMN.max(2, keepdims=True))
    mixed_HMR = weights_HMN / weights_HMN.sum(2, keepdims=True) @ value_HNR
    return _linear(layers.out, mixed_HMR.transpose(1, 0, 2).reshape(len(query_MD), -1))


def _heads(x_MD: np.ndarray, heads: int) -> np.ndarray:
    return x_MD.reshape(len(x_MD), heads, -1).transpose(1, 0, 2)


def _mlp(mlp: Mlp, x_MD: np.ndarray) -> np.ndarray:
    return _linear(mlp.fc2, ACTIVATIONS[mlp.activation](_linear(mlp.fc1, x_MD)).astype(np.float32))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -87, 87)))


ACTIVATIONS: dict[ActivationName, Callable[[np.ndarray], np.ndarray]] = {
    "quick_gelu": lambda x: x * _sigmoid(np.float32(1.702) * x),
    "gelu": lambda x: 0.5 * x * (1 + np.interp(x / np.sqrt(2), _ERF_STEPS, _ERF)),
    "gelu_tanh": lambda x: x * _sigmoid(np.float32(2 * (2 / np.pi) ** 0.5) * (x + 0.044715 * x**3)),
}
