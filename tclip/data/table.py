"""A folder of images with a table of captions: CSV, TSV or JSONL, one row a caption.

Neighbouring rows of the same image are one sample with several captions; rows of one image that lie
apart stay samples of their own, since joining them would take a whole table in memory.
"""

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tclip.data.sample import PairSource, Sample, lines
from tclip.data.splits import in_split
from tclip.errors import DataError, listed

IMAGE_COLUMNS = ("file_name", "image", "filepath", "image_path", "path")
TEXT_COLUMNS = ("text", "caption", "captions", "title")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*DELIMITERS, ".jsonl")
ROWS = 256  # samples in a shard: small enough that permuting the shards mixes the table


class Row(NamedTuple):
    """One row: where it ends in the table (bytes), its image and its captions."""

    end: int
    image: str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class TableShard:
    """Some neighbouring rows of the table."""

    table: "Table"
    name: str
    start: int
    first: int
    length: int

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples; one whose image file is missing has no bytes."""
        for number, group in enumerate(self.table.groups(self.start)):
            if number == self.length:
                return
            path = self.table.path.parent / group[0].image
            captions = tuple(caption for row in group for caption in row.captions)
            image = path.read_bytes() if path.is_file() else b""
            yield Sample(f"{self.table.path.name}[{self.first + number}]/{group[0].image}", image, captions)


class Table:
    """A caption table on disk, read from any row on."""

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            DataError: the table has no columns of known names.
        """
        self.path = path
        self.body = 0
        self.columns: list[str] | None = None
        if path.suffix.lower() in DELIMITERS:
            with path.open("rb") as stream:
                first = next(self._cells(stream), None)
            if first is None:
                raise DataError(f"{path} is empty: its first line must name the columns.")
            self.body, self.columns = first
            self._one_of(self.columns, IMAGE_COLUMNS)
            self._one_of(self.columns, TEXT_COLUMNS)

    def groups(self, start: int) -> Iterator[list[Row]]:
        """Yield neighbouring rows of the same image, from the row that begins at this byte on."""
        with self.path.open("rb") as stream:
            stream.seek(start)
            for _, rows in groupby(self._rows(stream), key=lambda row: row.image):
                yield list(rows)

    def _rows(self, stream: BinaryIO) -> Iterator[Row]:
        for end, record in self._records(stream):
            image = str(record[self._one_of(list(record), IMAGE_COLUMNS)] or "")
            value = record[self._one_of(list(record), TEXT_COLUMNS)]
            texts = value if isinstance(value, list) else [value or ""]
            yield Row(end, image, tuple(caption for text in texts for caption in lines(str(text))))

    def _records(self, stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
        if self.columns is None:
            yield from self._json_lines(stream)
            return
        for end, cells in self._cells(stream):
            if len(cells) != len(self.columns):
                raise DataError(
                    f"{self.path}: a row has {len(cells)} columns, not {len(self.columns)}: {cells[:3]}."
                )
            yield end, dict(zip(self.columns, cells, strict=True))

    def _json_lines(self, stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
        for line in iter(stream.readline, b""):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise DataError(f"{self.path}: a line is no JSON ({error}): {line[:60]!r}.") from error
            if not isinstance(record, dict):
                raise DataError(f"{self.path}: a line is no JSON object: {line[:60]!r}.")
            yield stream.tell(), record

    def _cells(self, stream: BinaryIO) -> Iterator[tuple[int, list[str]]]:
        text = (line.decode("utf-8-sig", "replace") for line in iter(stream.readline, b""))
        try:
            for cells in csv.reader(text, delimiter=DELIMITERS[self.path.suffix.lower()]):
                if cells:
                    yield stream.tell(), cells
        except csv.Error as error:
            raise DataError(f"{self.path} cannot be read near byte {stream.tell()}: {error}.") from error

    def _one_of(self, columns: Sequence[str], known: Sequence[str]) -> str:
        found = [name for name in known if name in columns]
        if not found:
            raise DataError(
                f"{self.path} has the columns {', '.join(columns)}: one must be called {' or '.join(known)}."
            )
        return found[0]


class TableSource(PairSource):
    """Pairs of a caption table; images lie relative to the folder of the table."""

    def __init__(self, spec: str, path: Path) -> None:
        self.spec = spec
        self.name = path.resolve().parent.name
        self._table = Table(path)
        self._shards: list[TableShard] = []

    def shards(self) -> Sequence[TableShard]:
        """Return the table in pieces of ROWS samples; the first call reads through the table once."""
        if not self._shards:
            self._shards = list(self._pieces())
        return self._shards

    def fingerprint(self) -> str:
        """Return a hash over the names, sizes and times of change of the table and of every image."""
        folder, table = self._table.path.parent, self._table
        whole = hashlib.blake2b(_stat(table.path), digest_size=16)
        for rows in table.groups(table.body):
            whole.update(_stat(folder / rows[0].image))
        return whole.hexdigest()

    def _pieces(self) -> Iterator[TableShard]:
        start, first, length, end = self._table.body, 0, 0, self._table.body
        for group in self._table.groups(self._table.body):
            if length == ROWS:
                yield self._piece(start, first, length)
                start, first, length = end, first + length, 0
            length, end = length + 1, group[-1].end
        yield self._piece(start, first, length)

    def _piece(self, start: int, first: int, length: int) -> TableShard:
        return TableShard(
            self._table, f"{self._table.path.name}[{first}:{first + length}]", start, first, length
        )


def _stat(path: Path) -> bytes:
    size, changed = (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else (0, 0)
    return f"{path.name}\0{size}\0{changed}\n".encode()


def open_table(spec: str, split: str) -> TableSource | None:
    """Open a caption table, or the one in a folder of images or its subfolder SPLIT; None if there is none.

    A folder with several tables must have one named after the split (`train.csv`, `metadata_train.jsonl`).

    Raises:
        DataError: several tables and none or several of the split.
    """
    path = Path(spec)
    if path.is_file():
        return TableSource(spec, path) if path.suffix.lower() in SUFFIXES else None
    for folder in (path, path / split):
        if tables := _tables(folder):
            chosen = in_split(tables, split, spec)
            if len(chosen) > 1:
                raise DataError(
                    f'"{spec}" holds several caption tables: give the path of one of them:{listed(chosen)}'
                )
            return TableSource(spec, folder / chosen[0])
    return None


def _tables(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(file.name for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
