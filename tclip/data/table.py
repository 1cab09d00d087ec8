"""A folder of images with a table of captions: CSV, TSV or JSONL, one row a caption.

Neighbouring rows of the same image are one sample with several captions; rows of one image that lie
apart stay samples of their own, since joining them would take a whole table in memory. Where each sample
begins is remembered (8 bytes), so that the table can be read in another order than it was written in.
"""

import csv
import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tclip.data.pieces import pieces
from tclip.data.sample import PairSource, Sample, lines
from tclip.data.splits import in_split
from tclip.errors import DataError, listed

IMAGE_COLUMNS = ("file_name", "image", "filepath", "image_path", "path")
TEXT_COLUMNS = ("text", "caption", "captions", "title")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*DELIMITERS, ".jsonl")


class Row(NamedTuple):
    """One row: where it ends in the table (bytes), its image and its captions."""

    end: int
    image: str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class TableShard:
    """A piece of the table: samples from anywhere in it, by number and by where they begin."""

    table: "Table"
    name: str
    numbers: Sequence[int]
    starts: Sequence[int]

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples; one whose image file is missing has no bytes."""
        for number, group in zip(self.numbers, self.table.groups_at(self.starts), strict=True):
            path = self.table.path.parent / group[0].image
            captions = tuple(caption for row in group for caption in row.captions)
            image = path.read_bytes() if path.is_file() else b""
            yield Sample(f"{self.table.path.name}[{number}]/{group[0].image}", image, captions)


class Table:
    """A caption table on disk, read from any row on."""

    def __init__(self, path: Path, paired: bool) -> None:
        """Read the header.

        Args:
            path: of the table.
            paired: whether it must have captions; without, they are not looked at.

        Raises:
            DataError: the table has no columns of known names.
        """
        self.path = path
        self.paired = paired
        self.body = 0
        self.columns: list[str] | None = None
        if path.suffix.lower() in DELIMITERS:
            with path.open("rb") as stream:
                first = next(_cells(path, stream), None)
            if first is None:
                raise DataError(f"{path} is empty: its first line must name the columns.")
            self.body, self.columns = first
            self._one_of(self.columns, IMAGE_COLUMNS)
            if paired:
                self._one_of(self.columns, TEXT_COLUMNS)

    def groups(self) -> Iterator[list[Row]]:
        """Yield neighbouring rows of the same image, from the first row to the last."""
        with self.path.open("rb") as stream:
            stream.seek(self.body)
            yield from self._groups(stream)

    def groups_at(self, starts: Iterable[int]) -> Iterator[list[Row]]:
        """Yield the neighbouring rows of the same image that begin at each of these bytes."""
        with self.path.open("rb") as stream:
            for start in starts:
                stream.seek(start)
                yield next(self._groups(stream))

    def _groups(self, stream: BinaryIO) -> Iterator[list[Row]]:
        return (list(rows) for _, rows in groupby(self._rows(stream), key=lambda row: row.image))

    def _rows(self, stream: BinaryIO) -> Iterator[Row]:
        for end, record in self._records(stream):
            image = str(record[self._one_of(list(record), IMAGE_COLUMNS)] or "")
            yield Row(end, image, self._captions(record) if self.paired else ())

    def _captions(self, record: dict[str, Any]) -> tuple[str, ...]:
        value = record[self._one_of(list(record), TEXT_COLUMNS)]
        texts = value if isinstance(value, list) else [value or ""]
        return tuple(caption for text in texts for caption in lines(str(text)))

    def _records(self, stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
        if self.columns is None:
            yield from _json_lines(self.path, stream)
            return
        for end, cells in _cells(self.path, stream):
            if len(cells) != len(self.columns):
                raise DataError(
                    f"{self.path}: a row has {len(cells)} columns, not {len(self.columns)}: {cells[:3]}."
                )
            yield end, dict(zip(self.columns, cells, strict=True))

    def _one_of(self, columns: Sequence[str], known: Sequence[str]) -> str:
        found = [name for name in known if name in columns]
        if not found:
            raise DataError(
                f"{self.path} has the columns {', '.join(columns)}: one must be called {' or '.join(known)}."
            )
        return found[0]


class TableSource(PairSource):
    """Pairs of a caption table; images lie relative to the folder of the table."""

    def __init__(self, spec: str, path: Path, paired: bool) -> None:
        self.spec = spec
        self.name = path.resolve().parent.name
        self._table = Table(path, paired)
        self._shards: list[TableShard] = []

    def shards(self) -> Sequence[TableShard]:
        """Return the table in pieces, each from all over it; the first call reads through the table once."""
        if not self._shards:
            starts = self._starts()
            self._shards = [
                TableShard(self._table, str(number), piece, array("q", (starts[each] for each in piece)))
                for number, piece in enumerate(pieces(len(starts)))
            ]
        return self._shards

    def fingerprint(self) -> str:
        """Return a hash over the names, sizes and times of change of the table and of every image."""
        folder = self._table.path.parent
        whole = hashlib.blake2b(_stat(self._table.path), digest_size=16)
        for rows in self._table.groups():
            whole.update(_stat(folder / rows[0].image))
        return whole.hexdigest()

    def _starts(self) -> Sequence[int]:
        starts, end = array("q"), self._table.body
        for group in self._table.groups():
            starts.append(end)
            end = group[-1].end
        return starts


def _stat(path: Path) -> bytes:
    size, changed = (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else (0, 0)
    return f"{path.name}\0{size}\0{changed}\n".encode()


def open_table(spec: str, split: str, paired: bool) -> TableSource | None:
    """Open a caption table, or the one in a folder of images or its subfolder SPLIT; None if there is none.

    A folder with several tables must have one named after the split (`train.csv`, `metadata_train.jsonl`).
    With `paired` false captions are not needed, and a folder's tables that name no images are none.

    Raises:
        DataError: several tables and none or several of the split.
    """
    path = Path(spec)
    if path.is_file():
        return TableSource(spec, path, paired) if path.suffix.lower() in SUFFIXES else None
    for folder in (path, path / split):
        if tables := _tables(folder, paired):
            chosen = in_split(tables, split, spec)
            if len(chosen) > 1:
                raise DataError(
                    f'"{spec}" holds several caption tables: give the path of one of them:{listed(chosen)}'
                )
            return TableSource(spec, folder / chosen[0], paired)
    return None


def _tables(folder: Path, paired: bool) -> list[str]:
    if not folder.is_dir():
        return []
    tables = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    return [file.name for file in tables if paired or not set(_columns(file)).isdisjoint(IMAGE_COLUMNS)]


def _columns(path: Path) -> list[str]:
    """What the first row tells; nothing where there is none."""
    with path.open("rb") as stream:
        if path.suffix.lower() in DELIMITERS:
            return next((cells for _, cells in _cells(path, stream)), [])
        return list(next((record for _, record in _json_lines(path, stream)), {}))


def _json_lines(path: Path, stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in iter(stream.readline, b""):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}: a line is no JSON ({error}): {line[:60]!r}.") from error
        if not isinstance(record, dict):
            raise DataError(f"{path}: a line is no JSON object: {line[:60]!r}.")
        yield stream.tell(), record


def _cells(path: Path, stream: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    text = (line.decode("utf-8-sig", "replace") for line in iter(stream.readline, b""))
    try:
        for cells in csv.reader(text, delimiter=DELIMITERS[path.suffix.lower()]):
            if cells:
                yield stream.tell(), cells
    except csv.Error as error:
        raise DataError(f"{path} cannot be read near byte {stream.tell()}: {error}.") from error
