"""From encoded images to inputs of the image tower: decode, replace what is broken, crop, preprocess."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image
from torch import Tensor

from tclip.data.made import make
from tclip.data.sample import derived
from tclip.data.screen import BrokenImageError, decode
from tclip.data.stream import SPARES, Draw
from tclip.data.views import view

Preprocess = Callable[[Iterable[Image.Image]], dict[str, Tensor]]


@dataclass(frozen=True)
class Pixels:
    """What a worker answers: the draws it used, without bytes; their inputs; what it could not decode.

    No draws: too many in a row could not be decoded.
    """

    draws: list[Draw]
    images: dict[str, Tensor]
    broken: list[tuple[str, str]]


@dataclass(frozen=True)
class Decoder:
    """Turns slices of streams into image inputs. All that a worker process needs, and picklable if
    `preprocess` is.

    Attributes:
        preprocess: images to inputs of the image tower. It gets a generator that decodes as it goes and takes
            all of it, so that not all of a batch's images are held at their full size.
        views: fixed random crops an image has; 1: the image as it is.
        min_crop: the least area of a crop as a share of the image.
        seed: of the crops.
    """

    preprocess: Preprocess
    views: int
    min_crop: float
    seed: int

    def __getitem__(self, slices: Sequence[list[Draw]]) -> Pixels:
        """Decode one slice of each stream, one behind the other; each has its spares at its end.

        A draw that cannot be decoded is replaced by the next of its stream that can: the choice
        depends on the sequence alone, so it is the same however many processes share it.
        """
        draws, broken = list[Draw](), list[tuple[str, str]]()

        def seen() -> Iterator[Image.Image]:
            for ahead in slices:
                for draw, image in self._decoded(ahead, broken):
                    draws.append(draw)
                    yield image

        try:
            return Pixels(draws, self.preprocess(seen()), broken)
        except _NoneDecodesError:
            return Pixels([], {}, broken)

    def view_index(self, draw: Draw) -> int:
        """Return which view of the image comes up: each in turn, epoch by epoch, from a start of its own.

        Of a made one it is the epoch: it is another in each.
        """
        if draw.sample.maker:
            return draw.epoch
        first = derived("first view", self.seed, draw.sample.key).randrange(self.views)
        return (first + draw.epoch) % self.views

    def _decoded(
        self, ahead: list[Draw], broken: list[tuple[str, str]]
    ) -> Iterator[tuple[Draw, Image.Image]]:
        """Yield what each place of a slice shows; what cannot be decoded is added to `broken`."""
        size, waiting = len(ahead) - SPARES, list[tuple[str, str]]()
        for place, draw in enumerate(ahead):
            if place >= size and not waiting:
                return  # spares are decoded only if the draw before them was broken
            try:
                image = decode(draw.sample.image_bytes)
            except BrokenImageError as error:
                waiting.append((draw.sample.key, str(error)))
                if len(waiting) > SPARES:
                    broken += waiting
                    raise _NoneDecodesError from error
                continue
            first = place - len(waiting)
            broken += waiting[: size - first]  # the spares come up again, and are named then
            waiting.clear()
            for _ in range(first, min(place + 1, size)):
                yield _emptied(draw), self._view(image, draw)

    def _view(self, image: Image.Image, draw: Draw) -> Image.Image:
        index = self.view_index(draw)
        if draw.sample.maker:
            return make(image, draw.sample, index)
        return view(image, draw.sample.key, index, views=self.views, seed=self.seed, min_crop=self.min_crop)


class _NoneDecodesError(Exception):
    """Too many in a row could not be decoded."""


def _emptied(draw: Draw) -> Draw:
    return replace(draw, sample=replace(draw.sample, image_bytes=b""))
