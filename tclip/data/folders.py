"""A place with files, local or on the Hub, seen the same way by the readers."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from tclip.data.sample import digest
from tclip.errors import DataError

# What readers look for; images are too many to list.
SEEN = (".tar", ".tar.gz", ".tgz", ".txt", ".csv", ".tsv", ".jsonl")


@runtime_checkable  # for the shape-and-type checks of the tests
class Readable(Protocol):
    """An open file that is read front to back."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next `size` bytes, fewer at the end."""


@runtime_checkable
class Folder(Protocol):
    """Files by their relative POSIX names."""

    @property
    def name(self) -> str:
        """Short name for people and for keys."""

    @property
    def where(self) -> str:
        """The place as the user would write it, for messages."""

    def names(self) -> Sequence[str]:
        """Return the sorted names of the files that a reader could want (see SEEN)."""

    def open(self, name: str) -> AbstractContextManager[Readable]:
        """Open a file for reading front to back; raise DataError if that cannot be done."""

    def size(self, name: str) -> int:
        """Return the bytes of a file; raise DataError if they cannot be told."""

    def version(self, names: Iterable[str]) -> str:
        """Return a hash that changes when one of these files changes."""


class LocalFolder:
    """A folder on disk. Two levels are looked at: its own files and those of its subfolders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = root.resolve().name
        self.where = str(root)

    def names(self) -> Sequence[str]:
        """Return the sorted names of the files that a reader could want."""
        found: list[str] = []
        for folder, folders, files in os.walk(self.root, followlinks=True):
            relative = Path(folder).relative_to(self.root)
            if relative != Path():
                folders.clear()
            found += [(relative / file).as_posix() for file in files if file.lower().endswith(SEEN)]
        return sorted(found)

    @contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        """Open a file for reading.

        Raises:
            DataError: the file is missing or may not be read.
        """
        try:
            with (self.root / name).open("rb") as stream:
                yield stream
        except OSError as error:
            raise self._cannot_read(name, error) from error

    def size(self, name: str) -> int:
        """Return the bytes of a file.

        Raises:
            DataError: the file is missing or may not be seen.
        """
        try:
            return (self.root / name).stat().st_size
        except OSError as error:
            raise self._cannot_read(name, error) from error

    def version(self, names: Iterable[str]) -> str:
        """Return a hash over names, sizes and times of change: content would take a full read."""
        stats = [(name, (self.root / name).stat()) for name in sorted(names)]
        return digest(*((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats))

    def _cannot_read(self, name: str, error: OSError) -> DataError:
        return DataError(f"{self.root / name} cannot be read: {error.strerror or error}.")


def read_text(folder: Folder, name: str) -> str:
    """Return a small text file.

    Raises:
        DataError: it cannot be read or is not UTF-8.
    """
    with folder.open(name) as stream:
        content = stream.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{folder.where}/{name} is not UTF-8 text: {error}.") from error
