"""Glob and brace patterns of local files, such as `shards/{000..127}.tar`."""

import glob
import math
import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from tclip.errors import DataError, listed

BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
MAX_FILES = 1_000_000  # braces can name any number of files


def expand(pattern: str) -> list[Path]:
    """Return the files that a pattern names, in its order; the files of a glob are sorted.

    Raises:
        DataError: a name from the braces, or a glob, matches nothing; or the braces make no sense.
    """
    found = {name: sorted(glob.glob(name, recursive=True)) for name in brace_names(pattern)}  # noqa: PTH207
    if missing := [name for name, paths in found.items() if not paths]:
        raise DataError(f"Nothing is found by this pattern:{listed(missing[:20])}")
    return [Path(path) for paths in found.values() for path in paths]


def brace_names(pattern: str) -> list[str]:
    """Return the names that `{a,b}` and `{000..127}` stand for, every combination, the last varying fastest.

    Raises:
        DataError: braces are nested, open or name more than MAX_FILES.
    """
    literals_and_bodies = BRACES.split(pattern)
    literals, bodies = literals_and_bodies[::2], literals_and_bodies[1::2]
    if any(mark in literal for literal in literals for mark in "{}"):
        raise DataError(f'"{pattern}": every {{ needs its }}, and braces cannot be nested.')
    choices = [_choices(body) for body in bodies]
    if not 0 < math.prod(len(choice) for choice, _ in choices) <= MAX_FILES:
        raise DataError(f'"{pattern}" must name at least one file and at most {MAX_FILES}.')
    return [
        literals[0]
        + "".join(
            str(x).zfill(width) + after
            for x, (_, width), after in zip(row, choices, literals[1:], strict=True)
        )
        for row in product(*(choice for choice, _ in choices))
    ]


def _choices(body: str) -> tuple[Sequence[str] | Sequence[int], int]:
    """Return what a pair of braces stands for, not yet written out, and the width to pad numbers to."""
    match = RANGE.fullmatch(body)
    if match is None:
        return body.split(","), 0
    return range(int(match[1]), int(match[2]) + 1), len(match[1])
