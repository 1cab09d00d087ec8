"""Weights as blocks of GGUF: 256 ternary ones of a row, or 32 of 4 or 8 bits, and the scale that they share.

The blocks of ggml (ggml-common.h), written from our codes and scales; nothing is quantized a second time.
A digit is code + 1, of 4 bits code + 8.

* TQ2_0, 66 bytes, 2.0625 bits a weight. Byte j of half h holds the digits of the weights 128 h + 32 n + j,
  n = 0..3, at the bits 2 n; then the scale as float16.
* TQ1_0, 54 bytes, 1.6875 bits a weight. Five digits a byte, the first the most significant, as the fraction
  ceil(256 v / 243) of their base-3 number v: bytes 0-31 hold the weights 32 n + j, bytes 32-47 the weights
  160 + 16 n + j, n = 0..4, bytes 48-51 the weights 240 + 4 n + j, n = 0..3; then the scale as float16.
* Q4_0, 18 bytes, 4.5 bits a weight. The scale as float16; byte j holds the digits of the weights j (low bits)
  and 16 + j.
* Q8_0, 34 bytes, 8.5 bits a weight. The scale as float16; the codes as they are.

K blocks, R rows with scales, G groups a row, N digits to a byte, P bytes, O rows.
"""

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Int8, UInt8

from tclip.ternary.codec import TERNARY, powers
from tclip.ternary.tensor import CodedTensor

BLOCK: Final = 256  # of ternary weights
BLOCKS: Final = {"tq2_0": BLOCK, "tq1_0": BLOCK, "q4_0": 32, "q8_0": 32}
BlockType = Literal["tq2_0", "tq1_0", "q4_0", "q8_0"]


def misfit(tensor: CodedTensor, block: int = BLOCK) -> str:
    """Say why a weight cannot be written as blocks of a size, or return ''.

    Its rows must be whole blocks, and a block has one scale, a float16 that is not infinite or rounded to 0.
    """
    row, groups = tensor.codes[0].numel(), tensor.scale_RG.shape[1]
    if row % block:
        return f"rows of {row} weights"
    if row // groups % block:
        return f"a scale for every {row // groups} weights"
    half_RG = tensor.scale_RG.half()
    if not torch.isfinite(half_RG).all() or ((half_RG == 0) & (tensor.scale_RG > 0)).any():
        return "a scale that float16 cannot hold"
    return ""


def to_blocks(tensor: CodedTensor, kind: BlockType) -> UInt8[np.ndarray, "O P"]:
    """Return the bytes of a weight's rows.

    Args:
        tensor: a weight [O, I] that fits (misfit).
        kind: of block.
    """
    code_K = tensor.codes.cpu().numpy().reshape(-1, BLOCKS[kind])
    scale_K = _scale_of_blocks(tensor, BLOCKS[kind]).view(np.uint8)
    packed_K = _PACKERS[kind](code_K)
    parts = (packed_K, scale_K) if BLOCKS[kind] == BLOCK else (scale_K, packed_K)
    return np.concatenate(parts, axis=1).reshape(len(tensor.codes), -1)


def _scale_of_blocks(tensor: CodedTensor, block: int) -> np.ndarray:
    """Return the scale of each block, [K, 1] float16, little-endian."""
    rows, groups = len(tensor.codes), tensor.scale_RG.shape[1]
    blocks_a_group = tensor.codes[0].numel() // block // groups
    scale_OK = tensor.scale_RG.half().expand(rows, groups).repeat_interleave(blocks_a_group, dim=1)
    return scale_OK.reshape(-1, 1).cpu().numpy().astype("<f2")


def _two_bits(code_K: Int8[np.ndarray, "K 256"]) -> UInt8[np.ndarray, "K 64"]:
    digit_KHNP = (code_K + 1).astype(np.uint8).reshape(-1, 2, 4, 32)
    shifted_KHNP = digit_KHNP << np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    return np.bitwise_or.reduce(shifted_KHNP, axis=2).reshape(-1, 64)


def _base3(code_K: Int8[np.ndarray, "K 256"]) -> UInt8[np.ndarray, "K 52"]:
    digit_K = (code_K + 1).astype(np.uint8)
    last_KNP = np.pad(digit_K[:, 240:].reshape(-1, 4, 4), ((0, 0), (0, 1), (0, 0)))
    parts = (digit_K[:, :160].reshape(-1, 5, 32), digit_K[:, 160:240].reshape(-1, 5, 16), last_KNP)
    return np.concatenate([_fractions(part_KNP) for part_KNP in parts], axis=1)


def _fractions(digit_KNP: UInt8[np.ndarray, "K 5 P"]) -> UInt8[np.ndarray, "K P"]:
    powers_N1 = np.array(powers(TERNARY), dtype=np.uint16)[:, None]
    number_KP = (digit_KNP * powers_N1).sum(axis=1, dtype=np.uint16)
    return ((number_KP * np.uint16(256) + np.uint16(242)) // np.uint16(243)).astype(np.uint8)


def _four_bits(code_K: Int8[np.ndarray, "K 32"]) -> UInt8[np.ndarray, "K 16"]:
    digit_K = (code_K + 8).astype(np.uint8)
    return digit_K[:, :16] | digit_K[:, 16:] << 4


_PACKERS: dict[str, Callable[..., np.ndarray]] = {
    "tq2_0": _two_bits,
    "tq1_0": _base3,
    "q4_0": _four_bits,
    "q8_0": lambda code_K: code_K.view(np.uint8),
}
