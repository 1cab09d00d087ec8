"""How many weights share one scale: the whole tensor, an output row, or a group of inputs of a row.

A weight is looked at as [R, G, N]: R rows and G groups of each row have a scale of their own, and N
weights share it.

* granularity "tensor",   weight [768, 512] -> R, G, N = 1, 1, 393216
* granularity "row",      weight [768, 512] -> R, G, N = 768, 1, 512
* granularity "group:64", weight [768, 512] -> R, G, N = 768, 8, 64
"""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor


def group_size(granularity: str) -> int | None:
    """Return N of "group:N", None for "tensor" and "row".

    Raises:
        ValueError: the text is none of "tensor", "row", "group:N" with N of at least 1.
    """
    if granularity in ("tensor", "row"):
        return None
    kind, _, size = granularity.partition(":")
    if kind != "group" or not size.isdecimal() or int(size) < 1:
        raise ValueError(f'scale granularity must be "tensor", "row" or "group:N", got "{granularity}"')
    return int(size)


def scale_shape(granularity: str, weight_shape: Sequence[int]) -> tuple[int, int]:
    """Return (R, G), the shape of the scales of a weight; dimension 0 holds its rows.

    Raises:
        ValueError: the granularity is unknown, or its group size does not divide a row.
    """
    size = group_size(granularity)
    if granularity == "tensor":
        return 1, 1
    rows, row_length = weight_shape[0], math.prod(weight_shape[1:])
    if size is None:
        return rows, 1
    if row_length % size:
        raise ValueError(f"group size {size} does not divide the row length {row_length}")
    return rows, row_length // size


def grouped(weight: Float[Tensor, "..."], granularity: str) -> Float[Tensor, "R G N"]:
    """View a weight of any shape as [R, G, N], N weights to a scale."""
    return weight.reshape(*scale_shape(granularity, weight.shape), -1)
