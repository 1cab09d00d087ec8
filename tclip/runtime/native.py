"""The towers run by native code: the same interface as in reference.py, many times faster.

B batch, C channels, E embedding, H height, I inputs, O outputs, W width.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from tclip.runtime.weights import (
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


def native_module() -> Any | None:
    """Return the compiled module, or None where tclip was installed without a compiler."""
    try:
        return import_module("tclip.runtime._native")
    except ModuleNotFoundError as error:
        if error.name != "tclip.runtime._native":
            raise
        return None


class NativeImageTower:
    """An image tower in native code.

    Args:
        tower: its weights; dense ones and token tables are used where they lie.
        path: the instruction set, one of `native_module().paths()`.
        num_threads: most threads that one call uses.

    Raises:
        ValueError: sizes that do not fit each other, bytes that are no codes, or a path this machine lacks.
    """

    def __init__(self, tower: ImageTower, path: str, num_threads: int) -> None:
        build = _Builder(num_threads)
        self._path, self._num_threads = path, num_threads
        self._tower = build.native.ImageTower(
            trunk=build.trunk(tower, build.pool(tower.pool)),
            channels=tower.channels,
            image_size=tower.image_size,
            patch_size=tower.patch_size,
            patch=build.linear(tower.patch),
            class_D=None if tower.class_D is None else _floats(tower.class_D),
            norm_in=None if tower.norm_in is None else build.norm(tower.norm_in),
        )

    def __call__(self, pixel_BCHW: np.ndarray) -> np.ndarray:
        """Return embeddings [B, E], float32, not normalised, of float32 pixels [B, C, H, W]."""
        return self._tower.encode(self._path, self._num_threads, _floats(pixel_BCHW))


class NativeTextTower:
    """A text tower in native code; arguments and errors as for NativeImageTower."""

    def __init__(self, tower: TextTower, path: str, num_threads: int) -> None:
        build = _Builder(num_threads)
        self._path, self._num_threads = path, num_threads
        self._tower = build.native.TextTower(build.trunk(tower, None), build.table(tower.table), tower.causal)

    def __call__(self, ids: Sequence[np.ndarray]) -> np.ndarray:
        """Return embeddings [B, E], float32, not normalised, of B texts' token ids (int32, 1 axis each).

        Raises:
            ValueError: a text without tokens, with more than there are positions, or with an unknown id.
        """
        starts = np.concatenate([[0], np.cumsum([len(text) for text in ids])]).astype(int).tolist()
        flat = np.concatenate([np.empty(0, np.int32), *ids]).astype(np.int32)
        return self._tower.encode(self._path, self._num_threads, flat, starts)


class _Builder:
    """Turns the weights of weights.py into objects of the native module."""

    def __init__(self, num_threads: int) -> None:
        self.native: Any = import_module("tclip.runtime._native")
        self._num_threads = num_threads

    def trunk(self, tower: ImageTower | TextTower, pool: Any | None) -> Any:
        return self.native.Trunk(
            position_ND=_floats(tower.position_ND),
            blocks=[self.block(block) for block in tower.blocks],
            norm_out=self.norm(tower.norm_out),
            pool=pool,
            projection=None if tower.projection is None else self.linear(tower.projection),
        )

    def block(self, block: Block) -> Any:
        return self.native.Block(
            self.norm(block.norm1),
            self.attention(block.attention),
            self.norm(block.norm2),
            self.mlp(block.mlp),
        )

    def attention(self, attention: Attention) -> Any:
        layers = (attention.query, attention.key, attention.value, attention.out)
        return self.native.Attention(attention.heads, *(self.linear(layer) for layer in layers))

    def mlp(self, mlp: Mlp) -> Any:
        return self.native.Mlp(self.linear(mlp.fc1), self.linear(mlp.fc2), mlp.activation)

    def norm(self, norm: Norm) -> Any:
        return self.native.Norm(_floats(norm.weight_D), _floats(norm.bias_D), norm.eps)

    def pool(self, pool: AttentionPool | None) -> Any | None:
        if pool is None:
            return None
        return self.native.AttentionPool(
            _floats(pool.probe_D), self.attention(pool.attention), self.norm(pool.norm), self.mlp(pool.mlp)
        )

    def linear(self, linear: Linear) -> Any:
        matrix, bias_O = linear.matrix, None if linear.bias_O is None else _floats(linear.bias_O)
        if matrix.dense_OI is None:
            return self.native.coded_linear(*_coded(matrix), bias_O, self._num_threads)
        if matrix.dense_OI.dtype == np.float16:
            return self.native.half_linear(_half_bits(matrix.dense_OI), bias_O)
        return self.native.dense_linear(_floats(matrix.dense_OI), bias_O)

    def table(self, matrix: Matrix) -> Any:
        if matrix.dense_OI is None:
            return self.native.coded_table(*_coded(matrix))
        if matrix.dense_OI.dtype == np.float16:
            return self.native.half_table(_half_bits(matrix.dense_OI))
        return self.native.dense_table(_floats(matrix.dense_OI))


def _coded(matrix: Matrix) -> tuple[Any, int, int, np.ndarray, int]:
    if matrix.codes is None or matrix.scale_OG is None:
        raise ValueError("a matrix is neither dense nor coded")
    return matrix.codes, matrix.bits, matrix.first_code, _floats(matrix.scale_OG), matrix.shape[1]


def _floats(array: np.ndarray) -> np.ndarray:
    return np.require(array, np.float32, ["C", "A"])


def _half_bits(array: np.ndarray) -> np.ndarray:
    return np.require(array, np.float16, ["C", "A"]).view(np.uint16)
