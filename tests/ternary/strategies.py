"""What the tests of the number system draw: shapes, codes, and weights whose sums are exact."""

import torch
from hypothesis import strategies as st

GRANULARITIES = ("tensor", "row", "group:1", "group:3", "group:6")
QUANTIZER_NAMES = ("absmean", "clip2", "twn", "mse", "learned")


def shapes(least=0):
    """Shapes of 1 to 4 axes; with least=0 also those without any element."""
    return st.lists(st.integers(least, 7), min_size=1, max_size=4).map(tuple)


@st.composite
def codes(draw, least=0, largest=1):
    """int8 codes of any shape, of magnitudes up to `largest`."""
    shape = draw(shapes(least))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    return torch.randint(-largest, largest + 1, shape, generator=generator).to(torch.int8)


@st.composite
def weights(draw, row_length=6):
    """Weights [rows, 6]; multiples of 1/8, so that many are equal, zero, or on a threshold."""
    rows = draw(st.integers(1, 4))
    eighths = st.integers(-24, 24)
    numbers = draw(st.lists(eighths, min_size=rows * row_length, max_size=rows * row_length))
    return torch.tensor(numbers, dtype=torch.float32).reshape(rows, row_length) / 8


def groups_of(weight, granularity):
    """Yield lists of (row, column) that share a scale, in the scales' order: the slow, obvious way."""
    rows, columns = weight.shape
    if granularity == "tensor":
        return [[(row, column) for row in range(rows) for column in range(columns)]]
    size = columns if granularity == "row" else int(granularity.split(":")[1])
    return [
        [(row, start + i) for i in range(size)] for row in range(rows) for start in range(0, columns, size)
    ]
