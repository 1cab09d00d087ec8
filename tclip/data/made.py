"""Images made of the pairs' own, for the image tower to learn from: images without texts, for nothing.

What they show need not be known, for the teacher looks at the very same. A new way is one function and one
line of MAKERS.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import length_hint
from typing import Any

from PIL import Image

from tclip.data import collages, crops
from tclip.data.sample import PairSource, Sample, Shard, digest


@dataclass(frozen=True)
class Maker:
    """One way to make an image of another.

    Attributes:
        make: (image, key of the sample, epoch) -> image; another in each epoch, the same in every process.
        settings: what it is made by: caches of what was made otherwise are not used.
    """

    make: Callable[[Image.Image, str, int], Image.Image]
    settings: tuple[Any, ...]


MAKERS = {
    "crops": Maker(crops.crop, (crops.AREA, crops.COARSE)),
    "collages": Maker(collages.collage, (collages.SIDE, collages.AREA, collages.SIZE)),
}


def make(image: Image.Image, sample: Sample, epoch: int) -> Image.Image:
    """Return what a sample that names a maker stands for in an epoch."""
    return MAKERS[str(sample.maker)].make(image, sample.key, epoch)


@dataclass(frozen=True)
class MadeShard:
    """A shard whose samples are to be made once they are decoded."""

    shard: Shard
    maker: str

    @property
    def name(self) -> str:
        """Name of the shard within its source."""
        return self.shard.name

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples, each with the maker's name."""
        return (replace(sample, maker=self.maker) for sample in self.shard)

    def __length_hint__(self) -> int:
        return length_hint(self.shard)


class Made(PairSource):
    """What a maker makes of the samples of another source: one image of each in an epoch."""

    def __init__(self, source: PairSource, maker: str) -> None:
        self.spec = source.spec
        self.name = f"{maker}/{source.name}"
        self._source = source
        self._maker = maker

    def shards(self) -> Sequence[MadeShard]:
        """Return the other source's shards."""
        return [MadeShard(shard, self._maker) for shard in self._source.shards()]

    def fingerprint(self) -> str:
        """Return a hash of the other source and of what is made of it."""
        return digest(self._maker, *MAKERS[self._maker].settings, self._source.fingerprint())
