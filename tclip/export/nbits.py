"""The layout of ternary weights in ONNX Runtime's MatMulNBits: two bits a code, a scale a block of inputs.

A row of I inputs is cut into blocks; what the last one lacks is filled with code 0. A code is kept as
q = code + 2, so as 1, 2 or 3, since without a zero point MatMulNBits takes 2^(bits - 1) = 2 for it and reads
scale (q - 2). A byte holds four neighbouring inputs, the first in its lowest bits.

ONNX Runtime's kernels for two bits know blocks of 128, 64 and 32; blocks of 16 it multiplies out.

B blocks of a row, G groups of a row, I inputs, O outputs, R rows with scales.
"""

from dataclasses import dataclass

import numpy as np

from tclip.errors import ModelError, listed
from tclip.models.patterns import numbers_starred

BITS = 2
ZERO_POINT = 2
CODES_PER_BYTE = 8 // BITS
BLOCK_SIZES = (128, 64, 32)
SMALLEST_BLOCK = 16


@dataclass(frozen=True)
class Blocks:
    """A weight as MatMulNBits takes it.

    Attributes:
        size: inputs a block.
        packed: uint8 [O, B, size / 4].
        scale_OB: float32.
    """

    size: int
    packed: np.ndarray
    scale_OB: np.ndarray


def block_size(num_inputs: int, num_groups: int) -> int | None:
    """Return how many inputs a block should have, or None where scales change within any block.

    Without groups: the largest size that divides a row, or the smallest that has kernels, the last block
    being padded. With groups: the largest that divides a group.
    """
    sizes = (*BLOCK_SIZES, SMALLEST_BLOCK) if num_groups > 1 else BLOCK_SIZES
    fitting = [size for size in sizes if num_inputs // num_groups % size == 0]
    return fitting[0] if fitting else BLOCK_SIZES[-1] if num_groups == 1 else None


def two_bit_blocks(codes_OI: np.ndarray, scale_RG: np.ndarray) -> Blocks:
    """Lay out a weight, int8 codes and float32 scales (one for the tensor, a row, or each group of a row).

    Raises:
        ValueError: no block size fits the groups.
    """
    outputs, inputs = codes_OI.shape
    size = block_size(inputs, scale_RG.shape[1])
    if size is None:
        raise ValueError(f"groups of {inputs // scale_RG.shape[1]} inputs")
    num_blocks = -(-inputs // size)
    padded_OI = np.pad(codes_OI, ((0, 0), (0, num_blocks * size - inputs)))
    digits = (padded_OI + ZERO_POINT).astype(np.uint8).reshape(outputs, num_blocks, -1, CODES_PER_BYTE)
    packed = np.bitwise_or.reduce(digits << np.arange(0, 8, BITS, dtype=np.uint8), axis=-1)
    scale_OG = np.broadcast_to(scale_RG, (outputs, scale_RG.shape[1]))
    scale_OB = np.repeat(scale_OG, num_blocks // scale_RG.shape[1], axis=1)
    return Blocks(size, packed, np.ascontiguousarray(scale_OB, np.float32))


def refuse_groups(shapes: dict[str, tuple[int, int]]) -> None:
    """Refuse weights whose groups no block fits.

    Args:
        shapes: inputs and groups of a row, by the name of the weight.

    Raises:
        ModelError: naming all of them, those of the same weight in several layers once.
    """
    offenders = sorted(
        {
            f"{numbers_starred(name)}: groups of {inputs // groups} inputs"
            for name, (inputs, groups) in shapes.items()
            if block_size(inputs, groups) is None
        }
    )
    if offenders:
        raise ModelError(
            "MatMulNBits has one scale for each block of 16, 32, 64 or 128 inputs, which the scales of these "
            f"weights do not allow: export with format base3, or quantize with scale row.{listed(offenders)}"
        )
