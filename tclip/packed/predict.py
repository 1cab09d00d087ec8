"""How large model.safetensors will be, from shapes alone: what a budget of bytes is shared out by."""

import json
import re
from collections.abc import Mapping, Sequence
from math import ceil, prod

from tclip.errors import RecipeError
from tclip.packed.format import CODES, METADATA_KEY, SCALE, Header, version_for
from tclip.ternary.codec import num_bytes
from tclip.ternary.granularity import scale_shape

UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9}
LARGEST_CHECKSUM = 2**32 - 1  # has the most digits
FLOATS = {"float16": ("F16", 2), "float32": ("F32", 4)}
ALIGNMENT = 8  # of the header of a safetensors file

Shapes = Mapping[str, Sequence[int]]
Bits = Mapping[str, int | None]


def predicted_bytes(shapes: Shapes, bits: Bits, granularity: str, dtype: str) -> int:
    """Return the size of the file that write_packed will write, or a few bytes more, never less.

    What is not known beforehand is how many digits each checksum has.

    Args:
        shapes: of every tensor of the model's state dict.
        bits: of the weights that are kept as codes and scales: 4 or 8, or None of ternary ones.
        granularity: of their scales.
        dtype: "float16" or "float32", of scales and of all else.
    """
    kind, width = FLOATS[dtype]
    floats = {name: list(shape) for name, shape in shapes.items() if name not in bits}
    floats |= {name + SCALE: list(scale_shape(granularity, shapes[name])) for name in bits}
    entries = {name: (kind, shape, width * prod(shape)) for name, shape in sorted(floats.items())}
    for name in sorted(bits):
        count = num_bytes(prod(shapes[name]), _base(bits[name]))
        entries[name + CODES] = ("U8", [count], count)
    header = json.dumps(_header(entries, shapes, bits), separators=(",", ":"))
    padded = ceil(len(header.encode()) / ALIGNMENT) * ALIGNMENT
    return 8 + padded + sum(size for _, _, size in entries.values())


def budget_bytes(budget: str, shapes: Shapes, bits: Bits, granularity: str, dtype: str) -> int:
    """Return how many bytes a budget such as "35MB" or "115%" allows; the other arguments as above.

    Args:
        budget: of the recipe; a percentage is of the size with `bits`.
        bits: with as few bits as the recipe allows.

    Raises:
        RecipeError: that is less than the least size; the message tells it.
    """
    least = predicted_bytes(shapes, bits, granularity, dtype)
    number, unit = re.fullmatch(r"([\d.]+) ?(\D+)", budget).groups()  # type: ignore[union-attr]
    allowed = int(least * float(number) / 100 if unit == "%" else float(number) * UNITS[unit])
    if allowed < least:
        raise RecipeError(
            f"quantize.budget {budget} cannot be met: with every weight ternary that the recipe makes so, "
            f"model.safetensors takes {least:,} bytes; set at least {ceil(least / 1e4) / 100}MB, or let more "
            "weights become ternary."
        )
    return allowed


def _base(bits: int | None) -> int:
    return 3 if bits is None else 2**bits


def _header(
    entries: Mapping[str, tuple[str, list[int], int]], shapes: Shapes, bits: Bits
) -> dict[str, object]:
    """Return what safetensors writes in front of the tensors, which lie in the order of the entries."""
    kept = {name: each for name, each in bits.items() if each is not None}
    ours = Header(
        version_for(kept),
        {name: list(shapes[name]) for name in bits},
        dict.fromkeys(entries, LARGEST_CHECKSUM),
        kept,
    )
    header: dict[str, object] = {"__metadata__": {"format": "pt", METADATA_KEY: ours.to_json()}}
    end = 0
    for name, (kind, shape, size) in entries.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return header
