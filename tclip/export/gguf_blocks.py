"""Ternary weights as the blocks of GGUF: 256 weights of a row, and the scale that they share behind them.

The blocks of ggml (ggml-common.h), written from our codes and scales; nothing is quantized a second time.
A digit is code + 1.

* TQ2_0, 66 bytes, 2.0625 bits a weight. Byte j of half h holds the digits of the weights 128 h + 32 n + j,
  n = 0..3, at the bits 2 n; then the scale as float16.
* TQ1_0, 54 bytes, 1.6875 bits a weight. Five digits a byte, the first the most significant, as the fraction
  ceil(256 v / 243) of their base-3 number v: bytes 0-31 hold the weights 32 n + j, bytes 32-47 the weights
  160 + 16 n + j, n = 0..4, bytes 48-51 the weights 240 + 4 n + j, n = 0..3; then the scale as float16.

K blocks, R rows with scales, G groups a row, N digits to a byte, P bytes, O rows.
"""

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import UInt8

from tclip.ternary.codec import POWERS
from tclip.ternary.tensor import TernaryTensor

BLOCK: Final = 256
BlockType = Literal["tq2_0", "tq1_0"]


def misfit(tensor: TernaryTensor) -> str:
    """Say why a weight cannot be written as blocks, or return ''.

    Its rows must be whole blocks, and a block has one scale, a float16 that is not infinite or rounded to 0.
    """
    row, groups = tensor.codes[0].numel(), tensor.scale_RG.shape[1]
    if row % BLOCK:
        return f"rows of {row} weights"
    if row // groups % BLOCK:
        return f"a scale for every {row // groups} weights"
    half_RG = tensor.scale_RG.half()
    if not torch.isfinite(half_RG).all() or ((half_RG == 0) & (tensor.scale_RG > 0)).any():
        return "a scale that float16 cannot hold"
    return ""


def to_blocks(tensor: TernaryTensor, kind: BlockType) -> UInt8[np.ndarray, "O P"]:
    """Return the bytes of a weight's rows.

    Args:
        tensor: a weight [O, I] that fits (misfit).
        kind: of block.
    """
    digit_K = (tensor.codes.cpu().numpy() + 1).astype(np.uint8).reshape(-1, BLOCK)
    scale_K = _scale_of_blocks(tensor)
    blocks_K = np.concatenate([_PACKERS[kind](digit_K), scale_K.view(np.uint8)], axis=1)
    return blocks_K.reshape(len(tensor.codes), -1)


def _scale_of_blocks(tensor: TernaryTensor) -> np.ndarray:
    """Return the scale of each block, [K, 1] float16, little-endian."""
    rows, groups = len(tensor.codes), tensor.scale_RG.shape[1]
    blocks_a_group = tensor.codes[0].numel() // BLOCK // groups
    scale_OK = tensor.scale_RG.half().expand(rows, groups).repeat_interleave(blocks_a_group, dim=1)
    return scale_OK.reshape(-1, 1).cpu().numpy().astype("<f2")


def _two_bits(digit_K: UInt8[np.ndarray, "K 256"]) -> UInt8[np.ndarray, "K 64"]:
    digit_KHNP = digit_K.reshape(-1, 2, 4, 32)
    shifted_KHNP = digit_KHNP << np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    return np.bitwise_or.reduce(shifted_KHNP, axis=2).reshape(-1, 64)


def _base3(digit_K: UInt8[np.ndarray, "K 256"]) -> UInt8[np.ndarray, "K 52"]:
    last_KNP = np.pad(digit_K[:, 240:].reshape(-1, 4, 4), ((0, 0), (0, 1), (0, 0)))
    parts = (digit_K[:, :160].reshape(-1, 5, 32), digit_K[:, 160:240].reshape(-1, 5, 16), last_KNP)
    return np.concatenate([_fractions(part_KNP) for part_KNP in parts], axis=1)


def _fractions(digit_KNP: UInt8[np.ndarray, "K 5 P"]) -> UInt8[np.ndarray, "K P"]:
    powers_N1 = np.array(POWERS, dtype=np.uint16)[:, None]
    number_KP = (digit_KNP * powers_N1).sum(axis=1, dtype=np.uint16)
    return ((number_KP * np.uint16(256) + np.uint16(242)) // np.uint16(243)).astype(np.uint8)


_PACKERS: dict[str, Callable[..., np.ndarray]] = {"tq2_0": _two_bits, "tq1_0": _base3}
