"""A weight as codes and scales, the only truth about it once it has been rounded: ternary, or of 4 or 8 bits.

R rows with scales, G groups a row, N weights to a scale (see granularity.py).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from tclip.ternary.codec import BASES, TERNARY, largest_code

Coded = TypeVar("Coded", bound="CodedTensor")


@dataclass(frozen=True)
class CodedTensor(ABC):
    """A weight as scale x code.

    Attributes:
        codes: int8, in the weight's own shape.
        scale_RG: float32, one scale for each group of codes.reshape(R, G, -1), never negative.

    Raises:
        ValueError: there are no codes, the scales are not those of a granularity, or one is negative.
    """

    codes: Int8[Tensor, "..."]
    scale_RG: Float[Tensor, "R G"]

    def __post_init__(self) -> None:
        check_scale(self.codes.shape, self.scale_RG)

    @property
    @abstractmethod
    def base(self) -> int:
        """The base of the codes' digits in a file (codec.py)."""

    @property
    @abstractmethod
    def form(self) -> str:
        """What it is in a word: "ternary", "4 bits" or "8 bits"."""

    def dense(self) -> Float[Tensor, "..."]:
        """Return the float32 weight scale x code in the weight's own shape (exact for ternary codes)."""
        rows, groups = self.scale_RG.shape
        codes_RGN = self.codes.reshape(rows, groups, -1).float()
        return (codes_RGN * self.scale_RG.float()[:, :, None]).reshape(self.codes.shape)

    @property
    def zeros(self) -> float:
        """Share of codes that are zero, in [0, 1]."""
        return float((self.codes == 0).float().mean())

    @property
    def largest(self) -> int:
        """The largest magnitude that a code can have."""
        return largest_code(self.base)

    @property
    def granularity(self) -> str:
        """The granularity that the shape of the scales tells: "tensor", "row" or "group:N"."""
        rows, groups = self.scale_RG.shape
        if groups > 1:
            return f"group:{self.codes[0].numel() // groups}"
        return "row" if rows == self.codes.shape[0] else "tensor"

    def rounded(self: Coded, dtype: torch.dtype) -> Coded:
        """Return the same codes with scales rounded to what `dtype` can hold, kept in float32."""
        return replace(self, scale_RG=self.scale_RG.to(dtype).float())


class TernaryTensor(CodedTensor):
    """A weight whose codes are -1, 0 and +1."""

    @property
    def base(self) -> int:
        """3."""
        return TERNARY

    @property
    def form(self) -> str:
        """ "ternary"."""
        return "ternary"


@dataclass(frozen=True)
class IntTensor(CodedTensor):
    """A weight whose codes are integers of 4 or 8 bits, symmetric: -7 .. 7 or -127 .. 127.

    Attributes:
        bits: 4 or 8.

    Raises:
        ValueError: of other bits; or as CodedTensor.
    """

    bits: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if 2**self.bits not in BASES:
            raise ValueError(f"integer weights have 4 or 8 bits, not {self.bits}")

    @property
    def base(self) -> int:
        """16 or 256."""
        return 2**self.bits

    @property
    def form(self) -> str:
        """ "4 bits" or "8 bits"."""
        return f"{self.bits} bits"


def check_scale(weight_shape: Sequence[int], scale_RG: Float[Tensor, "R G"]) -> None:
    """Check that scales are those of a weight of the given shape, in any granularity.

    Raises:
        ValueError: the weight has no codes, the scales are not those of a granularity, or one is negative.
    """
    shape, (rows, groups) = list(weight_shape), scale_RG.shape
    if not shape or not math.prod(shape):
        raise ValueError(f"a weight of shape {shape} has no rows of codes")
    if (rows, groups) != (1, 1) and (rows != shape[0] or not groups or math.prod(shape[1:]) % groups):
        raise ValueError(f"a weight of shape {shape} cannot have scales of shape {[rows, groups]}")
    if (scale_RG < 0).any():
        raise ValueError("a scale is negative")
