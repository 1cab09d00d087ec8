"""WebDataset tar shards: a file, a pattern, a folder of tars, or a repository of the Hub."""

import fnmatch
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tclip.data.folders import Folder, LocalFolder
from tclip.data.patterns import expand
from tclip.data.sample import PairSource, Sample, lines
from tclip.data.splits import ARCHIVES, in_split
from tclip.data.tars import Group, read_groups
from tclip.errors import DataError

CAPTION_KEYS = ("caption", "text", "title")


@dataclass(frozen=True)
class TarShard:
    """One tar of images with captions (KEY.jpg, KEY.txt or KEY.json)."""

    folder: Folder
    name: str
    paired: bool

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples of the tar."""
        for group in read_groups(self.folder, self.name):
            yield Sample(group.key, group.image, captions(group) if self.paired else ())


class ShardSource(PairSource):
    """Pairs from tars of one folder or repository."""

    def __init__(self, spec: str, folder: Folder, names: Sequence[str], *, paired: bool) -> None:
        if not names:
            raise DataError(f'"{spec}" holds no tar shards ({", ".join(ARCHIVES)}).')
        self.spec = spec
        self.name = folder.name
        self._folder = folder
        self._names = tuple(names)
        self._paired = paired

    def shards(self) -> Sequence[TarShard]:
        """Return the tars in order of name, or of the pattern."""
        return [TarShard(self._folder, name, self._paired) for name in self._names]

    def fingerprint(self) -> str:
        """Return a hash over the shards' names, sizes and times, or over the commit."""
        return self._folder.version(self._names)


def captions(group: Group) -> tuple[str, ...]:
    """Return the captions of a sample: its .txt, one a line, or the caption, text or title of its .json."""
    if "txt" in group.members:
        return lines(group.members["txt"].decode("utf-8", "replace"))
    try:
        record = json.loads(group.members.get("json", b"{}"))
    except ValueError:  # as good as no caption: such samples are counted and named
        return ()
    if not isinstance(record, dict):
        return ()
    return next((lines(value) for key in CAPTION_KEYS if isinstance(value := record.get(key), str)), ())


def open_pattern(spec: str, *, paired: bool) -> ShardSource | None:
    """Open a local .tar, or a glob or brace pattern of tars; None if the spec is neither."""
    path = Path(spec)
    if path.is_file() and spec.lower().endswith(ARCHIVES):
        return ShardSource(spec, LocalFolder(path.parent), [path.name], paired=paired)
    if path.exists() or "://" in spec or not any(mark in spec for mark in "*?[{"):
        return None
    paths = expand(spec)
    if strays := [str(path) for path in paths if not path.name.lower().endswith(ARCHIVES)]:
        raise DataError(f'"{spec}" names files that are no tar shards, such as {strays[0]}.')
    root = _common_folder(paths)
    names = [path.relative_to(root).as_posix() for path in paths]
    return ShardSource(spec, LocalFolder(root), names, paired=paired)


def open_tars(
    spec: str, folder: Folder, split: str, pattern: str | None = None, *, paired: bool
) -> ShardSource | None:
    """Open the tars of a folder: those of a split where names tell splits, or those of a pattern."""
    tars = [name for name in folder.names() if name.lower().endswith(ARCHIVES)]
    if pattern is not None:
        chosen = [name for name in tars if fnmatch.fnmatchcase(name, pattern)]
        if not chosen:
            raise DataError(
                f'{folder.where} has no tar shard like "{pattern}", among {len(tars)} of other names.'
            )
        return ShardSource(spec, folder, chosen, paired=paired)
    return ShardSource(spec, folder, in_split(tars, split, folder.where), paired=paired) if tars else None


def _common_folder(paths: Sequence[Path]) -> Path:
    first = paths[0].parent
    return next(
        folder for folder in (first, *first.parents) if all(path.is_relative_to(folder) for path in paths)
    )
