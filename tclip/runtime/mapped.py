"""A packed file mapped into memory: every claim of its header is checked before a byte of a tensor is used.

The safetensors library copies what it reads; here tensors are views of the mapping, so weights that are used
as they lie (token tables, dense layers) take no memory of their own.
"""

import json
import math
import mmap
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tclip.errors import FormatError, listed
from tclip.packed.format import METADATA_KEY, MODEL_FILE, Header, parse_header

DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype(np.uint8),
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
}
LENGTH_BYTES = 8
LONGEST_HEADER = 100_000_000  # the limit of the safetensors library


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: its type, shape, and first and last byte behind the header."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


class MappedFile:
    """FOLDER/model.safetensors in the packed format, read-only.

    Attributes:
        header: what the file says of itself: shapes of coded weights, checksums.
        header_text: the bytes that say it, which differ between any two different files.

    Raises:
        FormatError: the file is missing, foreign, damaged or newer; the message names the offenders.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / MODEL_FILE
        if not self._path.is_file():
            raise FormatError(f"{folder} has no {MODEL_FILE}: give a folder that `tclip pack` wrote.")
        with self._path.open("rb") as file:
            if self._path.stat().st_size < LENGTH_BYTES:
                raise self._damaged("it ends within its header")
            self._bytes = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self.header_text, document = self._read_header()
        metadata = document.pop("__metadata__", None)
        self._entries = self._read_entries(document)
        self.header = self._checked_header(metadata)
        self._sums: set[str] = set()
        self._read: set[str] = set()

    def check(self, names: Iterable[str]) -> None:
        """Compare the checksums of some tensors; each is read once, in threads.

        Raises:
            FormatError: the bytes of a tensor have changed.
        """
        wanted = sorted(set(names) - self._sums, key=lambda name: -self._size(name))
        with ThreadPoolExecutor(4) as threads:
            sums = dict(zip(wanted, threads.map(self._checksum, wanted), strict=True))
        changed = [name for name in wanted if sums[name] != self.header.checksums[name]]
        if changed:
            raise self._damaged(f"the bytes of {', '.join(sorted(changed))} have changed")
        self._sums.update(wanted)

    def check_read(self, names: Iterable[str]) -> None:
        """Refuse tensors that nothing has read: the configuration is of another model, or says too little.

        Raises:
            FormatError: there are some, all of them named.
        """
        unread = sorted(set(names) - self._read)
        if unread:
            raise FormatError(
                f"{self._path} holds weights that the config.json beside it does not describe; "
                f"fetch or pack it again:{listed(unread)}"
            )

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return name in self._entries

    def names(self) -> list[str]:
        """Return the names of all tensors."""
        return list(self._entries)

    def tensor(self, name: str) -> np.ndarray:
        """Return a read-only view of a tensor.

        Raises:
            FormatError: there is none of that name.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise self._damaged(f"{name} is missing")
        self._read.add(name)
        view = np.frombuffer(self._bytes[entry.begin : entry.end], entry.dtype)
        return view.reshape(entry.shape)

    def floats(self, name: str) -> np.ndarray:
        """Return a float tensor as float32, a copy.

        Raises:
            FormatError: it is missing, not of floats, or not finite.
        """
        return self.finite(name).astype(np.float32)

    def finite(self, name: str) -> np.ndarray:
        """Return a view of a float tensor in its own type.

        Raises:
            FormatError: it is missing, not of floats, or not finite.
        """
        tensor = self.tensor(name)
        if tensor.dtype == np.uint8 or not np.isfinite(tensor).all():
            raise self._damaged(f"{name} is not made of finite floats")
        return tensor

    def damaged(self, what: str) -> FormatError:
        """Return the error that says what is wrong with this file."""
        return self._damaged(what)

    def _damaged(self, what: str) -> FormatError:
        return FormatError(f"{self._path} is damaged ({what}): fetch or pack it again.")

    def _read_header(self) -> tuple[bytes, dict[str, Any]]:
        length = int.from_bytes(self._bytes[:LENGTH_BYTES], "little")
        if length > min(LONGEST_HEADER, len(self._bytes) - LENGTH_BYTES):
            raise self._damaged("it ends within its header")
        text = bytes(self._bytes[LENGTH_BYTES : LENGTH_BYTES + length])
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._damaged("its header is no JSON") from error
        if not isinstance(document, dict):
            raise self._damaged("its header is no JSON object")
        self._start = LENGTH_BYTES + length
        return text, document

    def _read_entries(self, document: dict[str, Any]) -> dict[str, Entry]:
        entries = {name: self._entry(name, described) for name, described in document.items()}
        ordered = sorted(entries.values(), key=lambda entry: (entry.begin, entry.end))
        end = self._start
        for entry in ordered:
            if entry.begin != end:
                raise self._damaged("its tensors overlap or leave gaps")
            end = entry.end
        if end != len(self._bytes):
            raise self._damaged("it is cut short, or longer than its tensors")
        return entries

    def _entry(self, name: str, described: Any) -> Entry:
        try:
            dtype = DTYPES[described["dtype"]]
            begin, end = described["data_offsets"]
            shape = tuple(described["shape"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(f"its header does not describe {name}, or with an unknown type") from error
        numbers = (begin, end, *shape)
        if not all(type(number) is int and 0 <= number < 1 << 48 for number in numbers):
            raise self._damaged(f"{name} has offsets or a shape that are no sizes")
        if end - begin != math.prod(shape) * dtype.itemsize:
            raise self._damaged(f"the bytes of {name} do not fit its shape")
        return Entry(dtype, shape, self._start + begin, self._start + end)

    def _checked_header(self, metadata: Any) -> Header:
        if metadata is not None and not isinstance(metadata, dict):
            raise self._damaged("its metadata are no JSON object")
        text = (metadata or {}).get(METADATA_KEY)
        if text is not None and not isinstance(text, str):
            raise self._damaged("its metadata are no text")
        header = parse_header(metadata, str(self._path))
        names = set(self._entries)
        offenders = [f"{name} is missing" for name in sorted((set(header.checksums) | header.stored) - names)]
        offenders += [f"{name} is unknown" for name in sorted(names - set(header.checksums))]
        if offenders:
            raise FormatError(f"{self._path} is damaged; fetch or pack it again:{listed(offenders)}")
        return header

    def _size(self, name: str) -> int:
        return self._entries[name].end - self._entries[name].begin

    def _checksum(self, name: str) -> int:
        entry = self._entries[name]
        return zlib.crc32(self._bytes[entry.begin : entry.end])
