"""About how many samples the shards of a source hold, told before they are read: mixing goes by it.

Pieces of folders and tables know it, rows of the Hub often do. A tar does not, but it has a size, here and
on the Hub: the beginning of the first one tells how many bytes a sample takes. Of other streams nothing is
known.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import length_hint

from tclip.data.captioned import CaptionedShard
from tclip.data.folders import Folder, Readable
from tclip.data.layout import Layout, LayoutShard
from tclip.data.made import MadeShard
from tclip.data.sample import Shard
from tclip.data.shards import TarShard
from tclip.data.tars import read_groups

ASSUMED = 1000  # samples of a shard of which nothing is known
LOOKED_AT = 4 << 20  # bytes of a tar: a hundred small photographs, and read in milliseconds
LEAST = 16  # samples, where one takes megabytes


def lengths(shards: Sequence[Shard]) -> list[int]:
    """Return about how many samples each shard of a source holds, at least 1.

    Raises:
        DataError: the first of them is no tar or a damaged one, or one is gone, or the Hub gives no answer.
    """
    tars = [found for shard in shards if (found := _tar(shard)) is not None]
    if not tars or len(tars) < len(shards):
        return [length_hint(shard, 0) or ASSUMED for shard in shards]
    rate = _samples_per_byte(*tars[0])
    return [max(1, round(rate * folder.size(name))) for folder, name in tars]


def _tar(shard: Shard) -> tuple[Folder, str] | None:
    match shard:
        case MadeShard(shard=inner) | CaptionedShard(shard=inner):
            return _tar(inner)
        case TarShard(folder=folder) | LayoutShard(layout=Layout(folder=folder)):
            return folder, shard.name
        case _:
            return None


def _samples_per_byte(folder: Folder, name: str) -> float:
    watched = _Watched(folder)
    number = 0
    for number, _ in enumerate(read_groups(watched, name), 1):
        if watched.num_bytes >= LOOKED_AT and number >= LEAST:
            return number / (watched.num_bytes - watched.last)  # the last have only just been fetched
    return number / watched.num_bytes


class _Watched:
    """A folder that counts the bytes which are read of its files: compressed ones, where they are."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.name, self.where = folder.name, folder.where
        self.names, self.size, self.version = folder.names, folder.size, folder.version
        self.num_bytes = 0
        self.last = 0

    @contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        with self._folder.open(name) as stream:
            yield _Counting(stream, self)


class _Counting:
    def __init__(self, stream: Readable, watched: _Watched) -> None:
        self._stream = stream
        self._watched = watched

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._watched.last = len(data)
        self._watched.num_bytes += len(data)
        return data
