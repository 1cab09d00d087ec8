"""The classes of a sample, as its files tell them: KEY.cls names one, KEY.npy says of each if it is shown.

C classes.
"""

import io

import numpy as np

from tclip.data.tars import Group
from tclip.errors import DataError, first_line

NUMBERS = "biuf"  # numpy's kinds of dtype: bool, integers, float


def class_index(group: Group, num_classes: int, where: str) -> int:
    """Return the class of a sample.

    Args:
        group: the sample's files.
        num_classes: that have names.
        where: the sample, for messages.

    Raises:
        DataError: it has none, or none of the classes that have names.
    """
    text = group.members.get("cls", b"").decode("utf-8", "replace").strip()
    if not text:
        raise DataError(f"{where} has no class (.cls), only {_files(group)}.")
    if not (text.isascii() and text.isdigit() and int(text) < num_classes):
        raise DataError(f'{where} has class "{text}", but classnames.txt names 0 to {num_classes - 1}.')
    return int(text)


def classes_present(group: Group, num_classes: int, where: str) -> tuple[int, ...]:
    """Return the classes that a sample of a multilabel set shows, in ascending order; there may be none.

    Args:
        group: the sample's files.
        num_classes: that have names.
        where: the sample, for messages.

    Raises:
        DataError: it has no .npy file, a damaged one, or one that is no 0 or 1 for each class.
    """
    if "npy" not in group.members:
        raise DataError(f"{where} has no classes (.npy), only {_files(group)}.")
    stream = io.BytesIO(group.members["npy"])
    try:
        shape = _shape(stream)
        # looked at first: numpy makes an array as large as the header claims
        present_C = np.lib.format.read_array(stream, allow_pickle=False) if shape == (num_classes,) else None
    except (ValueError, EOFError) as error:
        raise DataError(f"{where}.npy cannot be read ({first_line(error)}): fetch the data again.") from error
    if present_C is None or present_C.dtype.kind not in NUMBERS or not np.isin(present_C, (0, 1)).all():
        found = f"shape {list(shape)}" if present_C is None else "something else"
        raise DataError(f"{where}.npy must hold a 0 or 1 for each of {num_classes} classes, but has {found}.")
    return tuple(np.flatnonzero(present_C).tolist())


def _shape(stream: io.BytesIO) -> tuple[int, ...]:
    """Return the shape that a .npy file claims, and stand at its beginning again."""
    version = np.lib.format.read_magic(stream)
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape = read(stream)[0]
    stream.seek(0)
    return shape


def _files(group: Group) -> str:
    return ", ".join(sorted(group.members))
