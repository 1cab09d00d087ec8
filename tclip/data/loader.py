"""From the stream to batches of tensors: decode, crop, choose captions, preprocess, tokenize.

M images and N texts of a batch, C channels, H height, W width, T tokens.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from PIL import Image
from torch import Tensor

from tclip.data.decoder import Decoder, Pixels, Preprocess
from tclip.data.made import make
from tclip.data.prefetch import prefetch
from tclip.data.sample import PairSource, Sample, derived
from tclip.data.screen import BrokenImageError, Tally, decode
from tclip.data.stream import SPARES, Draw, PairStream
from tclip.data.texts import TextStream
from tclip.errors import DataError, listed

Inputs = dict[str, Tensor]
Tokenize = Callable[..., Inputs]


@dataclass(frozen=True)
class Batch:
    """What one process trains on in one step, ready for the towers.

    Attributes:
        keys, views: (key, view) names the pixels of each of M images.
        captions: the words of each of N texts.
        num_pairs: the first so many images and texts belong together; the rest have no partner.
        images: pixel_values [M, C, H, W], or what the family has.
        texts: input_ids [N, T], attention_mask where the family has it.
    """

    keys: list[str]
    views: list[int]
    captions: list[str]
    num_pairs: int
    images: Inputs
    texts: Inputs


@dataclass(frozen=True)
class Extras:
    """What a step has beside its pairs, for a process.

    Attributes:
        images: a stream that is not paired, if num_images is above 0.
        num_images: images without a text.
        texts: a stream, if num_texts is above 0.
        num_texts: texts without an image.
    """

    images: PairStream | None = None
    num_images: int = 0
    texts: TextStream | None = None
    num_texts: int = 0


class PairBatches:
    """Endless batches for one process. Iterating again starts again at `start`."""

    def __init__(
        self,
        stream: PairStream,
        *,
        batch_size: int,
        preprocess: Preprocess,
        tokenize: Tokenize,
        views: int = 1,
        min_crop: float = 0.6,
        captions: Literal["random", "first"] = "random",
        text_tokens: int | None = None,
        extras: Extras = Extras(),
        workers: int = 0,
        start: int = 0,
    ) -> None:
        """Set up; nothing is read yet.

        Args:
            stream: the samples, with this process's rank.
            batch_size: pairs a process.
            preprocess: images to inputs of the image tower; with workers, picklable: not all platforms fork.
            tokenize: called with texts and `max_tokens`.
            views: fixed random crops an image has; 1: the image as it is.
            min_crop: the least area of a crop as a share of the image.
            captions: "random": another for each (seed, epoch, key); "first": always the first.
            text_tokens: where texts are cut; None: at what the text tower takes.
            extras: images and texts beside the pairs.
            workers: processes that decode; 0: a thread, one batch ahead.
            start: batches already done.
        """
        self.stream = stream
        self.start = start
        self.workers = workers
        self._size = batch_size
        self._extras = extras
        self._decoder = Decoder(preprocess, views, min_crop, stream.seed)
        self._tokenize = tokenize
        self._captions = captions
        self._text_tokens = text_tokens

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches without end.

        Raises:
            DataError: more than 1 % of the samples are broken, none is good, or a shard cannot be read.
        """
        streams = [(self.stream, self._size)]
        if self._extras.images is not None:
            streams.append((self._extras.images, self._extras.num_images))
        slices = zip(*(stream.slices(size, self.start) for stream, size in streams), strict=True)
        if self.workers:
            return self._batches(_in_processes(self._decoder, slices, self.workers))
        return prefetch(self._batches(self._decoder[ahead] for ahead in slices))

    def _batches(self, decoded: Iterable[Pixels]) -> Iterator[Batch]:
        tally = Tally("decoding")
        for index, pixels in enumerate(decoded, self.start):
            if not pixels.draws:
                broken = [f"{key}: {reason}" for key, reason in pixels.broken[-SPARES - 1 :]]
                raise DataError(f"{SPARES + 1} images in a row cannot be decoded:{listed(broken)}")
            for key, reason in pixels.broken:
                tally.bad(key, reason)
            tally.seen += len(pixels.draws) - len(pixels.broken)
            captions = [self._caption(draw) for draw in pixels.draws[: self._size]]
            if self._extras.texts is not None:
                captions += self._extras.texts.batch(index, self._extras.num_texts)
            yield Batch(
                keys=[draw.sample.key for draw in pixels.draws],
                views=[self._decoder.view_index(draw) for draw in pixels.draws],
                captions=captions,
                num_pairs=self._size,
                images=pixels.images,
                texts=self._tokenize(captions, max_tokens=self._text_tokens),
            )

    def _caption(self, draw: Draw) -> str:
        captions = draw.sample.captions
        if self._captions == "first":
            return captions[0]
        return derived("caption", self.stream.seed, draw.epoch, draw.sample.key).choice(captions)


def iter_pairs(sources: Sequence[PairSource], n: int, seed: int = 0) -> Iterator[tuple[Image.Image, str]]:
    """Yield n decoded images with a caption each, drawn across the shards without reading all of them.

    Fewer come if the sources hold fewer. The same arguments give the same pairs. An image is decoded when it
    is asked for: a thousand photographs of 12 megapixels would not fit into memory.

    Raises:
        DataError: more than 1 % of the samples are broken, or none is good.
    """
    stream = PairStream(sources, seed=seed, shuffle_buffer=max(1000, n))
    for sample, image in islice(_decoded(stream), n):
        yield image, derived("caption", seed, 0, sample.key).choice(sample.captions)


def iter_images(sources: Sequence[PairSource], n: int, seed: int = 0) -> Iterator[Image.Image]:
    """Yield n decoded images, drawn as `iter_pairs` draws; captions are not asked for.

    Raises:
        DataError: more than 1 % of the samples are broken, or none is good.
    """
    stream = PairStream(sources, seed=seed, shuffle_buffer=max(1000, n), paired=False)
    return (image for _, image in islice(_decoded(stream), n))


def _decoded(stream: PairStream) -> Iterator[tuple[Sample, Image.Image]]:
    tally = Tally("decoding")
    for sample in stream.epoch(0):
        try:
            image = decode(sample.image_bytes)
        except BrokenImageError as error:
            tally.bad(sample.key, str(error))
            continue
        tally.good()
        yield sample, make(image, sample, 0) if sample.maker else image
    if tally.seen == tally.broken:
        raise DataError(
            f"None of the {tally.seen} images can be decoded: mend or replace them:{listed(tally.named[:5])}"
        )


def _in_processes(decoder: Decoder, slices: Iterator[tuple[list[Draw], ...]], workers: int) -> Iterable[Any]:
    import torch
    from torch.utils.data import DataLoader

    # The sampler's "indices" are the encoded samples themselves: the stream is read here once, in order,
    # and the workers do nothing but decode.
    return DataLoader(
        decoder,  # type: ignore[arg-type]
        sampler=slices,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=2,
        generator=torch.Generator(),  # or it would draw from the training's own
    )
