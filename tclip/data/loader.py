"""From the stream to batches of tensors: decode, crop, choose captions, preprocess, tokenize.

B batch, C channels, H height, W width, T tokens.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from PIL import Image
from torch import Tensor

from tclip.data.prefetch import prefetch
from tclip.data.sample import PairSource, derived
from tclip.data.screen import BrokenImageError, Tally, decode
from tclip.data.stream import SPARES, Draw, PairStream
from tclip.data.views import view
from tclip.errors import DataError, listed

Inputs = dict[str, Tensor]
Preprocess = Callable[[list[Image.Image]], Inputs]
Tokenize = Callable[..., Inputs]


@dataclass(frozen=True)
class Batch:
    """B pairs of one process, ready for the towers; (key, view) names the pixels, `captions` the words."""

    keys: list[str]
    views: list[int]
    captions: list[str]
    images: Inputs  # pixel_values [B, C, H, W], or what the family has
    texts: Inputs  # input_ids [B, T], attention_mask where the family has it


@dataclass(frozen=True)
class Pixels:
    """What a worker answers: the draws it used, without bytes; their inputs; what it could not decode.

    No draws: too many in a row could not be decoded.
    """

    draws: list[Draw]
    images: Inputs
    broken: list[tuple[str, str]]


@dataclass(frozen=True)
class Decoder:
    """Turns a slice of the stream into image inputs. All that a worker process needs, and picklable if
    `preprocess` is.
    """

    preprocess: Preprocess
    batch_size: int
    views: int
    min_crop: float
    seed: int

    def __getitem__(self, ahead: list[Draw]) -> Pixels:
        """Decode a slice (batch_size draws and spares behind them).

        A draw that cannot be decoded is replaced by the next of the global sequence that can: the choice
        depends on the sequence alone, so it is the same however many processes share it.
        """
        images, broken = self._decoded(ahead)
        late = [(draw.sample.key, broken[place]) for place, draw in enumerate(ahead) if place in broken]
        chosen = [_stand_in(place, images) for place in range(self.batch_size)]
        if None in chosen:
            return Pixels([], {}, late)
        used = [place for place in chosen if place is not None]
        seen = [self._view(images[place], ahead[place]) for place in used]
        own = late[: sum(place < self.batch_size for place in broken)]
        return Pixels([_emptied(ahead[place]) for place in used], self.preprocess(seen), own)

    def view_index(self, draw: Draw) -> int:
        """Return which view of the image comes up: each in turn, epoch by epoch, from a start of its own."""
        first = derived("first view", self.seed, draw.sample.key).randrange(self.views)
        return (first + draw.epoch) % self.views

    def _decoded(self, ahead: list[Draw]) -> tuple[dict[int, Image.Image], dict[int, str]]:
        images, broken = dict[int, Image.Image](), dict[int, str]()
        for place, draw in enumerate(ahead):
            if place >= self.batch_size and place - 1 not in broken:
                break  # spares are decoded only if the draw before them was broken
            try:
                images[place] = decode(draw.sample.image_bytes)
            except BrokenImageError as error:
                broken[place] = str(error)
        return images, broken

    def _view(self, image: Image.Image, draw: Draw) -> Image.Image:
        index = self.view_index(draw)
        return view(image, draw.sample.key, index, views=self.views, seed=self.seed, min_crop=self.min_crop)


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
        workers: int = 0,
        start: int = 0,
    ) -> None:
        """Set up; nothing is read yet.

        Args:
            stream: the samples, with this process's rank.
            batch_size: pairs a process.
            preprocess: images to inputs of the image tower; picklable where workers are not forked.
            tokenize: called with texts and `max_tokens`.
            views: fixed random crops an image has; 1: the image as it is.
            min_crop: the least area of a crop as a share of the image.
            captions: "random": another for each (seed, epoch, key); "first": always the first.
            text_tokens: where captions are cut; None: at what the text tower takes.
            workers: processes that decode; 0: a thread, one batch ahead.
            start: batches already done.
        """
        self.stream = stream
        self.start = start
        self.workers = workers
        self._decoder = Decoder(preprocess, batch_size, views, min_crop, stream.seed)
        self._tokenize = tokenize
        self._captions = captions
        self._text_tokens = text_tokens

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches without end.

        Raises:
            DataError: more than 1 % of the samples are broken, none is good, or a shard cannot be read.
        """
        slices = self.stream.slices(self._decoder.batch_size, self.start)
        if self.workers:
            return self._batches(_in_processes(self._decoder, slices, self.workers))
        return prefetch(self._batches(self._decoder[ahead] for ahead in slices))

    def _batches(self, decoded: Iterable[Pixels]) -> Iterator[Batch]:
        tally = Tally("decoding")
        for pixels in decoded:
            if not pixels.draws:
                broken = [f"{key}: {reason}" for key, reason in pixels.broken[-SPARES - 1 :]]
                raise DataError(f"{SPARES + 1} images in a row cannot be decoded:{listed(broken)}")
            for key, reason in pixels.broken:
                tally.bad(key, reason)
            tally.seen += len(pixels.draws) - len(pixels.broken)
            captions = [self._caption(draw) for draw in pixels.draws]
            yield Batch(
                keys=[draw.sample.key for draw in pixels.draws],
                views=[self._decoder.view_index(draw) for draw in pixels.draws],
                captions=captions,
                images=pixels.images,
                texts=self._tokenize(captions, max_tokens=self._text_tokens),
            )

    def _caption(self, draw: Draw) -> str:
        captions = draw.sample.captions
        if self._captions == "first":
            return captions[0]
        return derived("caption", self.stream.seed, draw.epoch, draw.sample.key).choice(captions)


def take_pairs(sources: Sequence[PairSource], n: int, seed: int = 0) -> list[tuple[Image.Image, str]]:
    """Return n decoded images with a caption each, drawn across the shards without reading all of them.

    Fewer come back if the sources hold fewer. The same arguments give the same pairs.

    Raises:
        DataError: more than 1 % of the samples are broken, or none is good.
    """
    pairs: list[tuple[Image.Image, str]] = []
    tally = Tally("decoding")
    for sample in PairStream(sources, seed=seed, shuffle_buffer=max(1000, n)).epoch(0):
        try:
            pairs.append(
                (decode(sample.image_bytes), derived("caption", seed, 0, sample.key).choice(sample.captions))
            )
            tally.good()
        except BrokenImageError as error:
            tally.bad(sample.key, str(error))
        if len(pairs) == n:
            break
    return pairs


def _stand_in(place: int, images: dict[int, Image.Image]) -> int | None:
    return next((candidate for candidate in range(place, place + SPARES + 1) if candidate in images), None)


def _emptied(draw: Draw) -> Draw:
    return replace(draw, sample=replace(draw.sample, image_bytes=b""))


def _in_processes(decoder: Decoder, slices: Iterator[list[Draw]], workers: int) -> Iterable[Any]:
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
