"""Several sources as one sequence, in which each has its share from the first sample to the last.

The next sample is of a source drawn in proportion to what each has left. So all end together, and at any
point the same part of each has been seen. What a source has left is told as well as it can be before it is
read (lengths.py), and corrected by its shards that have ended. Where nothing is known, all shards count the
same.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from random import Random

from tclip.data.lengths import lengths
from tclip.data.sample import PairSource, Sample, Shard, derived

TURNS = 64  # samples for which sources are drawn at once: so few that what is left hardly changes meanwhile
OPEN_SHARDS = 8  # read side by side, so that neighbours in a shard, or in a source, do not stay neighbours


class Mixture:
    """The samples of all sources, epoch after epoch.

    At most OPEN_SHARDS shards are open at a time, or one of each source where there are more sources.
    """

    def __init__(self, sources: Sequence[PairSource]) -> None:
        self._sources = sources

    def epoch(self, number: int, seed: int) -> Iterator[tuple[int, Sample]]:
        """Yield every sample once, behind the number of its source.

        The order depends on the sources, the epoch's number and the seed alone.

        Raises:
            DataError: a shard cannot be read.
        """
        shards_rng, sources_rng = derived("shards", seed, number), derived("sources", seed, number)
        places = _places(self._shards)
        readings = [
            _Reading(shards, num, shards_rng) for shards, num in zip(self._shards, places, strict=True)
        ]
        samples = [reading.samples() for reading in readings]
        while any(left := [reading.left for reading in readings]):
            for chosen in sources_rng.choices(range(len(left)), left, k=TURNS):
                # One that was drawn more often than it had samples left is passed over.
                if (sample := next(samples[chosen], None)) is not None:
                    yield chosen, sample

    @cached_property
    def _shards(self) -> list[list[tuple[Shard, int]]]:
        """The shards of each source, each with about its number of samples."""
        of_each = [source.shards() for source in self._sources]
        if len(of_each) == 1:  # nothing to mix it with: no file is opened to find out
            return [[(shard, 1) for shard in of_each[0]]]
        return [list(zip(shards, lengths(shards), strict=True)) for shards in of_each]


class _Reading:
    """One source in one epoch: its shards in random order, so many of them side by side."""

    def __init__(self, shards: Sequence[tuple[Shard, int]], places: int, rng: Random) -> None:
        self._rng = rng
        self._waiting = list(shards)
        rng.shuffle(self._waiting)
        self._open = [_Open(*self._waiting.pop()) for _ in range(places)]
        self._told = sum(told for _, told in shards)  # samples of the shards that have not ended
        self._ended_told, self._ended_read = 0, 0

    @property
    def left(self) -> float:
        """About how many samples are still to come: none once all shards have ended, else at least one."""
        scale = self._ended_read / self._ended_told if self._ended_told else 1.0
        read = sum(shard.read for shard in self._open)
        return max(scale * self._told - read, float(len(self._open) + len(self._waiting)))

    def samples(self) -> Iterator[Sample]:
        """Yield every sample once."""
        while self._open:
            place = self._rng.randrange(len(self._open))
            shard = self._open[place]
            if (sample := next(shard.samples, None)) is not None:
                shard.read += 1
                yield sample
            else:
                self._end(place)

    def _end(self, place: int) -> None:
        ended = self._open[place]
        self._told -= ended.told
        self._ended_told += ended.told
        self._ended_read += ended.read
        if self._waiting:
            self._open[place] = _Open(*self._waiting.pop())
        else:
            self._open.pop(place)


class _Open:
    """A shard that is being read."""

    def __init__(self, shard: Shard, told: int) -> None:
        self.samples = iter(shard)
        self.told = told
        self.read = 0


def _places(sources: Sequence[Sequence[tuple[Shard, int]]]) -> list[int]:
    """Return how many shards of each source are open at a time: one, and more of those that hold more.

    So all shards that are open are read about equally fast.
    """
    places = [1] * len(sources)
    totals = [sum(length for _, length in shards) for shards in sources]
    while sum(places) < OPEN_SHARDS:
        more = [number for number, shards in enumerate(sources) if places[number] < len(shards)]
        if not more:
            break
        places[max(more, key=lambda number: totals[number] / (places[number] + 1))] += 1
    return places
