"""One endless, shuffled, resumable sequence of samples over all sources, shared out among processes.

The sequence depends on the sources and the seed alone. It is cut into global batches, and process r of
R takes the r-th slice of each: so two processes at batch B/2 train on what one process at batch B does.
The price is that every process reads all shards (but decodes its own samples only).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from tclip.data.mixture import Mixture
from tclip.data.sample import PairSource, Sample, derived, digest
from tclip.data.screen import Tally, flaw
from tclip.errors import DataError

SPARES = 8  # samples handed out beyond a slice, to stand in for those that cannot be decoded


@dataclass(frozen=True)
class Draw:
    """A sample as it comes up in an epoch."""

    epoch: int
    sample: Sample


class PairStream:
    """Good samples of all sources in shuffled order, epoch after epoch.

    An epoch yields every good sample once, of all sources side by side (mixture.py). Memory is bounded by
    the shuffle buffer (encoded samples) and one global batch. Keys get the name of their source in front,
    so they are unique over all sources.
    With `paired` false, captions are not asked for: images alone, whose keys begin with "images/".
    """

    def __init__(
        self,
        sources: Sequence[PairSource],
        *,
        seed: int = 0,
        shuffle_buffer: int = 1000,
        rank: int = 0,
        world_size: int = 1,
        paired: bool = True,
    ) -> None:
        if not sources:
            raise DataError("No data are given: name at least one source of image-text pairs.")
        if not 0 <= rank < world_size or shuffle_buffer < 1:
            raise ValueError(f"rank {rank} of {world_size}, shuffle buffer {shuffle_buffer}")
        self.sources = list(sources)
        self.seed = seed
        self.shuffle_buffer = shuffle_buffer
        self.rank = rank
        self.world_size = world_size
        self.paired = paired
        self._mixture = Mixture(self.sources)

    def fingerprint(self) -> str:
        """Return a hex hash of the data, whatever the seed and the number of processes."""
        return digest(
            *(
                f"{name} {source.fingerprint()}"
                for name, source in zip(self._names(), self.sources, strict=True)
            )
        )

    def epoch(self, number: int) -> Iterator[Sample]:
        """Yield every good sample of an epoch once, shuffled by (seed, epoch).

        Raises:
            DataError: more than 1 % of the samples are broken, or none is good.
        """
        # Named once: in the first epoch, by the first process.
        tally = Tally(f"epoch {number}", quiet=self.rank > 0 or number > 0)
        rng = derived("shuffle", self.seed, number)
        buffer: list[Sample] = []
        for sample in self._good(number, tally):
            if len(buffer) < self.shuffle_buffer:
                buffer.append(sample)
                continue
            place = rng.randrange(self.shuffle_buffer)
            out, buffer[place] = buffer[place], sample
            yield out
        rng.shuffle(buffer)
        yield from buffer
        tally.close()
        if tally.seen == 0:
            raise DataError(
                f"No samples in {', '.join(source.spec for source in self.sources)}: give data with pairs."
            )

    def draws(self, start: int = 0) -> Iterator[Draw]:
        """Yield the global sequence from position `start` on, without end.

        What lies before is read but not decoded; whole epochs are jumped over once one has been counted.
        """
        number, skip = 0, start
        while True:
            count = 0
            for count, sample in enumerate(self.epoch(number), 1):
                if count > skip:
                    yield Draw(number, sample)
            # Every epoch has the same good samples: being good depends on the bytes alone.
            skip = max(0, skip - count)
            number += 1 + skip // count
            skip %= count

    def slices(self, batch_size: int, start: int = 0) -> Iterator[list[Draw]]:
        """Yield this process's slice of each global batch from batch `start` on, with SPARES draws behind it.

        Args:
            batch_size: samples a process.
            start: global batches already done.
        """
        whole = batch_size * self.world_size
        draws = self.draws(start * whole)
        batch: list[Draw] = []
        while True:
            batch += islice(draws, whole + SPARES - len(batch))
            first = self.rank * batch_size
            yield batch[first : first + batch_size + SPARES]
            batch = batch[whole:]

    def _good(self, epoch: int, tally: Tally) -> Iterator[Sample]:
        names = self._names()
        for source, stored in self._mixture.epoch(epoch, self.seed):
            sample = replace(stored, key=f"{names[source]}/{stored.key}")
            if (reason := flaw(sample, paired=self.paired)) is not None:
                tally.bad(sample.key, reason)
                continue
            tally.good()
            yield sample

    def _names(self) -> list[str]:
        seen = Counter[str]()
        names = []
        for source in self.sources:
            seen[source.name] += 1
            name = source.name if seen[source.name] == 1 else f"{source.name}#{seen[source.name]}"
            names.append(name if self.paired else f"images/{name}")
        return names
