"""Small parts of the pairs' own images, for the image tower to learn from: images without texts, for nothing.

Photographs of one kind show whole scenes, sharp. Their parts show single things, large and coarse, as other
data sets do; what they mean need not be known, for the teacher looks at the very same part.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from tclip.data.sample import PairSource, Sample, Shard, derived, digest

AREA = (0.05, 0.4)  # of a part, as a share of the image
COARSE = 128  # pixels a side: at its coarsest a part is as sharp as a part of an image of this size


def crop(image: Image.Image, key: str, epoch: int) -> Image.Image:
    """Return a square part of an image, flipped left to right for half of them.

    Its resolution lies between its own and that of the same part of an image of 128 x 128 pixels.

    Args:
        image: RGB.
        key: of the sample; the part depends on (key, epoch) and the image's size only.
        epoch: another part in each.
    """
    rng = derived("crop", key, epoch)
    share = rng.uniform(*AREA)
    side = max(1, min(round(math.sqrt(share * image.width * image.height)), image.width, image.height))
    left, top = rng.randint(0, image.width - side), rng.randint(0, image.height - side)
    coarse = min(side, max(1, round(math.sqrt(share) * COARSE)))
    size = round(math.exp(rng.uniform(math.log(coarse), math.log(side))))
    box = (left, top, left + side, top + side)
    part = image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


@dataclass(frozen=True)
class _Parts:
    """A shard whose samples are to be cropped once they are decoded."""

    shard: Shard

    @property
    def name(self) -> str:
        return self.shard.name

    def __iter__(self) -> Iterator[Sample]:
        return (replace(sample, cropped=True) for sample in self.shard)


class Crops(PairSource):
    """The samples of another source, to be seen in part: one part each in an epoch."""

    def __init__(self, source: PairSource) -> None:
        self.spec = source.spec
        self.name = f"crops/{source.name}"
        self._source = source

    def shards(self) -> Sequence[_Parts]:
        """Return the other source's shards."""
        return [_Parts(shard) for shard in self._source.shards()]

    def fingerprint(self) -> str:
        """Return a hash of the other source and of how parts are cut."""
        return digest("crops", AREA, COARSE, self._source.fingerprint())
