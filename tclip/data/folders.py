"""A place with files, local or on the Hub, seen the same way by the readers."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol

from tclip.data.sample import digest
from tclip.errors import DataError, listed

SEEN = (
    ".tar",
    ".tar.gz",
    ".tgz",
    ".txt",
    ".csv",
    ".tsv",
    ".jsonl",
)  # what readers look for; images are too many to list


MAX_FILES = 1_000_000  # of a brace pattern, which could name any number


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

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading front to back; raise DataError if that cannot be done."""

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
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for reading.

        Raises:
            DataError: the file is missing or may not be read.
        """
        try:
            with (self.root / name).open("rb") as stream:
                yield stream
        except OSError as error:
            raise DataError(f"{self.root / name} cannot be read: {error.strerror or error}.") from error

    def version(self, names: Iterable[str]) -> str:
        """Return a hash over names, sizes and times of change: content would take a full read."""
        stats = [(name, (self.root / name).stat()) for name in sorted(names)]
        return digest(*((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats))


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


def expand(pattern: str) -> list[Path]:
    """Return the files that a glob and brace pattern names, e.g. `shards/{000..127}.tar`.

    Raises:
        DataError: a file named by braces is missing, or a glob matches nothing.
    """
    from braceexpand import braceexpand

    try:
        names = list(islice(braceexpand(pattern, escape=False), MAX_FILES + 1))
    except ValueError as error:  # UnbalancedBracesError is one
        raise DataError(f'"{pattern}": the braces do not match.') from error
    if len(names) > MAX_FILES:
        raise DataError(f'"{pattern}" names more than {MAX_FILES} files.')
    found = {name: sorted(glob.glob(name, recursive=True)) for name in names}  # noqa: PTH207 (absolute patterns)
    if missing := [name for name, paths in found.items() if not paths]:
        raise DataError(f"Nothing is found by this pattern:{listed(missing[:20])}")
    return [Path(path) for paths in found.values() for path in paths]
