"""Base-3 bytes: five ternary codes a byte, 1.6 bits a weight.

Byte = ((((d0*3 + d1)*3 + d2)*3 + d3)*3 + d4) with digit d = code + 1; codes run in row-major order and
the last byte is padded with the code 0. Bytes above 242 (= 3^5 - 1) do not exist.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Int8, Num, UInt8
from torch import Tensor

CODES_PER_BYTE = 5
LARGEST_BYTE = 3**CODES_PER_BYTE - 1
POWERS = (81, 27, 9, 3, 1)


def num_bytes(num_codes: int) -> int:
    """Return how many bytes hold `num_codes` codes."""
    return -(-num_codes // CODES_PER_BYTE)


def pack_base3(codes: Int8[Tensor, "..."]) -> UInt8[Tensor, " P"]:
    """Pack codes in {-1, 0, +1} of any shape into ceil(n / 5) bytes.

    Raises:
        ValueError: a code is none of -1, 0, +1.
    """
    flat = codes.flatten()
    if ((flat < -1) | (flat > 1)).any():  # not by abs(), which leaves int8's -128 as it is
        raise ValueError("codes must be -1, 0 or +1")
    padding = num_bytes(flat.numel()) * CODES_PER_BYTE - flat.numel()
    digits_P5 = (torch.nn.functional.pad(flat, (0, padding)) + 1).reshape(-1, CODES_PER_BYTE)
    bytes_P = torch.zeros(len(digits_P5), dtype=torch.uint8, device=codes.device)
    for digit_P in digits_P5.unbind(1):
        bytes_P = bytes_P * 3 + digit_P.to(torch.uint8)
    return bytes_P


def unpack_base3(bytes_P: UInt8[Tensor, " P"], shape: Sequence[int]) -> Int8[Tensor, "..."]:
    """Unpack the codes of a weight of the given shape.

    Raises:
        ValueError: as check_base3.
    """
    check_base3(bytes_P, shape)
    return decode_base3(bytes_P, math.prod(shape), torch.int8).reshape(tuple(shape))


def check_base3(bytes_P: UInt8[Tensor, " P"], shape: Sequence[int]) -> None:
    """Check that bytes are the codes of a weight of the given shape, without unpacking them.

    Raises:
        ValueError: the number of bytes does not fit the shape, a byte exceeds 242, or the padding
            of the last byte is not made of zeros.
    """
    count = math.prod(shape)
    if bytes_P.numel() != num_bytes(count):
        raise ValueError(f"{bytes_P.numel()} bytes cannot hold {count} codes: {num_bytes(count)} are needed")
    if bytes_P.numel() and int(bytes_P.max()) > LARGEST_BYTE:
        raise ValueError(f"a byte exceeds {LARGEST_BYTE}, so these are not base-3 codes")
    filled = count - (bytes_P.numel() - 1) * CODES_PER_BYTE
    if decode_base3(bytes_P[-1:], CODES_PER_BYTE, torch.int8)[filled:].any():
        raise ValueError("the padding of the last byte is not zero")


def decode_base3(bytes_P: UInt8[Tensor, " P"], count: int, dtype: torch.dtype) -> Num[Tensor, " N"]:
    """Return the first `count` codes of bytes that were checked before, as numbers of any dtype.

    A look-up of five numbers a byte is the fastest way in plain torch (a third of what arithmetic on
    digits takes); with float numbers in the table no second pass converts them.
    """
    table_V5 = _CODES_V5.to(bytes_P.device, dtype)
    return table_V5.index_select(0, bytes_P.int()).flatten()[:count]


# V values of a byte; those above 242 are there so that no byte reads beyond the table
_CODES_V5 = torch.tensor(
    [[value // power % 3 - 1 for power in POWERS] for value in range(256)], dtype=torch.int8, device="cpu"
)
