"""From the codes and scales of a packed file to a matrix; the codes stay as they lie.

G groups of inputs, I inputs, O outputs, P bytes, R rows with scales.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from tclip.runtime.weights import Matrix

LARGEST_BYTE = 242  # of five ternary codes


def coded_matrix(
    name: str, shape: Sequence[int], codes_P: np.ndarray, scale_RG: np.ndarray, bits: int | None
) -> Matrix:
    """Return a weight [O, ...] as a matrix [O, I].

    Args:
        name: of the weight, for messages.
        shape: its shape.
        codes_P: uint8, flat bytes (docs/format.md).
        scale_RG: float32, as the file has them.
        bits: 4 or 8, or None of a ternary weight.

    Raises:
        ValueError: bytes or scales do not fit the shape, or a scale is negative.
    """
    outputs, inputs = shape[0] if shape else 0, prod(shape[1:])
    rows, groups = scale_RG.shape
    num_bytes = -(-outputs * inputs // 5) if bits is None else -(-outputs * inputs * bits // 8)
    fits = codes_P.dtype == np.uint8 and codes_P.ndim == 1 and len(codes_P) == num_bytes
    if len(shape) < 2 or not fits or not outputs * inputs:
        raise ValueError(f"the codes of {name} do not fit its shape")
    if rows not in (1, outputs) or (rows == 1 and groups != 1) or not groups or inputs % groups:
        raise ValueError(f"the scales of {name} do not fit its shape")
    if (scale_RG < 0).any():
        raise ValueError(f"a scale of {name} is negative")
    scale_OG = np.ascontiguousarray(np.broadcast_to(scale_RG, (outputs, groups)))
    return Matrix((outputs, inputs), codes=codes_P, bits=bits or 2, scale_OG=scale_OG)


def check_bytes(codes_P: np.ndarray, bits: int) -> None:
    """Refuse bytes that stand for no codes.

    Args:
        codes_P: uint8.
        bits: of a code: 2 (ternary), 4 or 8.

    Raises:
        ValueError: there is one.
    """
    if bits == 2 and codes_P.max(initial=0) > LARGEST_BYTE:
        raise ValueError(f"a byte above {LARGEST_BYTE} is no base-3 code")
    digits = {2: (), 4: (codes_P >> 4, codes_P & 15), 8: (codes_P,)}[bits]
    if not all(each.all() for each in digits):
        raise ValueError(f"a byte holds a digit 0, which is no code of {bits} bits")
