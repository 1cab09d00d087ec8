"""Sources of pairs as a recipe asks for them; pictures without captions are paired with made-up texts.

That will do wherever nothing asks whether an image and its text belong together. Calibration does not, nor
does a loss that compares with what the teacher makes of the same image, the same text or the same two.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import length_hint
from typing import Any

from tclip.data.images import open_images
from tclip.data.pairs import open_pairs
from tclip.data.sample import PairSource, Sample, Shard, derived, digest
from tclip.data.texts import WORDS, TextSource, open_texts


def pair_sources(specs: Sequence[str], split: str, captions: str, tokenizer: Any) -> list[PairSource]:
    """Find the readers for sources of image-text pairs.

    Args:
        specs: as for `open_pairs`; with captions "words" as for `open_images`.
        split: which split to read where there are several.
        captions: data.captions of the recipe; "words": captions are neither needed nor read, prompts of the
            tokenizer's own words stand in for them.
        tokenizer: of the model.

    Raises:
        DataError: nothing is there, the split is not, it is no data that a reader knows, or the tokenizer
            knows no words.
    """
    if captions != WORDS:
        return [open_pairs(spec, split) for spec in specs]
    words = open_texts(WORDS, tokenizer)
    return [Captioned(open_images(spec, split), words) for spec in specs]


@dataclass(frozen=True)
class CaptionedShard:
    """A shard of images, each with a text that its key decides."""

    shard: Shard
    texts: TextSource

    @property
    def name(self) -> str:
        """Name of the shard within its source."""
        return self.shard.name

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples, each with a caption."""
        for sample in self.shard:
            yield replace(sample, captions=(self.texts(derived("words", sample.key)),))

    def __length_hint__(self) -> int:
        return length_hint(self.shard)


class Captioned(PairSource):
    """The images of another source, each with a made-up text, the same in every epoch."""

    def __init__(self, source: PairSource, texts: TextSource) -> None:
        self.spec, self.name = source.spec, source.name
        self._source = source
        self._texts = texts

    def shards(self) -> Sequence[CaptionedShard]:
        """Return the other source's shards."""
        return [CaptionedShard(shard, self._texts) for shard in self._source.shards()]

    def fingerprint(self) -> str:
        """Return a hash of the other source, and of there being made-up texts."""
        return digest(WORDS, self._source.fingerprint())
