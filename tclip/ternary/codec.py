"""Codes as bytes: five ternary codes share a byte (1.6 bits each), two codes of 4 bits, or one of 8.

A byte is a number whose digits, of some base and the first the most significant, are d = code + base // 2:

    base 3     ((((d0*3 + d1)*3 + d2)*3 + d3)*3 + d4    codes -1 .. 1        at most 242 = 3^5 - 1
    base 16    d0*16 + d1                               codes -7 .. 7        no digit 0
    base 256   d0                                       codes -127 .. 127    no digit 0

Codes run in row-major order and the last byte is padded with the code 0. Other bytes do not exist.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Int8, Num, UInt8
from torch import Tensor

TERNARY = 3
BASES = {TERNARY: 5, 16: 2, 256: 1}  # and how many digits of it a byte holds


def largest_code(base: int) -> int:
    """Return the largest magnitude of a code: 1, 7 or 127."""
    return (base - 1) // 2


def powers(base: int) -> list[int]:
    """Return what each digit of a byte counts, the first digit first: [81, 27, 9, 3, 1] of base 3."""
    return [base**place for place in reversed(range(BASES[base]))]


def num_bytes(num_codes: int, base: int = TERNARY) -> int:
    """Return how many bytes hold `num_codes` codes."""
    return -(-num_codes // BASES[base])


def pack_codes(codes: Int8[Tensor, "..."], base: int = TERNARY) -> UInt8[Tensor, " P"]:
    """Pack codes of any shape into bytes.

    Raises:
        ValueError: the base has no such code.
    """
    flat, largest = codes.flatten(), largest_code(base)
    if ((flat < -largest) | (flat > largest)).any():  # not by abs(), which leaves int8's -128 as it is
        raise ValueError(f"codes of base {base} must be from {-largest} to {largest}")
    padding = num_bytes(flat.numel(), base) * BASES[base] - flat.numel()
    # uint8 counts modulo 256, so the sum is right whatever int8 makes of a digit above 127
    digits_PN = torch.nn.functional.pad(flat, (0, padding)).to(torch.uint8) + base // 2
    bytes_P = torch.zeros(digits_PN.numel() // BASES[base], dtype=torch.uint8, device=codes.device)
    for digit_P in digits_PN.reshape(-1, BASES[base]).unbind(1):
        bytes_P = bytes_P * (base % 256) + digit_P
    return bytes_P


def unpack_codes(
    bytes_P: UInt8[Tensor, " P"], shape: Sequence[int], base: int = TERNARY
) -> Int8[Tensor, "..."]:
    """Unpack the codes of a weight of the given shape.

    Raises:
        ValueError: as check_codes.
    """
    check_codes(bytes_P, shape, base)
    return decode_codes(bytes_P, math.prod(shape), torch.int8, base).reshape(tuple(shape))


def check_codes(bytes_P: UInt8[Tensor, " P"], shape: Sequence[int], base: int = TERNARY) -> None:
    """Check that bytes are the codes of a weight of the given shape, without unpacking them.

    Raises:
        ValueError: the number of bytes does not fit the shape, there is a byte that does not exist, or the
            padding of the last byte is not made of zeros.
    """
    count, per_byte = math.prod(shape), BASES[base]
    if bytes_P.numel() != num_bytes(count, base):
        raise ValueError(
            f"{bytes_P.numel()} bytes cannot hold {count} codes: {num_bytes(count, base)} are needed"
        )
    missing = (torch.bincount(bytes_P, minlength=256).cpu() > 0) & ~_EXISTING[base]
    if missing.any():
        raise ValueError(f"the byte {int(missing.nonzero()[0])} does not exist in base {base}")
    filled = count - (bytes_P.numel() - 1) * per_byte
    if decode_codes(bytes_P[-1:], per_byte, torch.int8, base)[filled:].any():
        raise ValueError("the padding of the last byte is not zero")


def decode_codes(
    bytes_P: UInt8[Tensor, " P"], count: int, dtype: torch.dtype, base: int = TERNARY
) -> Num[Tensor, " C"]:
    """Return the first `count` codes of bytes that were checked before, as numbers of any dtype.

    A look-up of a byte's codes is the fastest way in plain torch (a third of what arithmetic on digits
    takes); with float numbers in the table no second pass converts them.
    """
    table_VN = _CODES_VN[base].to(bytes_P.device, dtype)
    return table_VN.index_select(0, bytes_P.int()).flatten()[:count]


# V values of a byte, N digits of it; those that do not exist are there so that none reads beyond the table
_DIGITS_VN = {
    base: torch.tensor(
        [[value // power % base for power in powers(base)] for value in range(256)], device="cpu"
    )
    for base in BASES
}
_CODES_VN = {base: (digits_VN - base // 2).to(torch.int8) for base, digits_VN in _DIGITS_VN.items()}
_EXISTING = {
    base: (_CODES_VN[base] >= -largest_code(base)).all(1) & (torch.arange(256) < base ** BASES[base])
    for base in BASES
}
