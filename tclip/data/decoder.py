"""From encoded images to inputs of the image tower: decode, replace what is broken, crop, preprocess."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from PIL import Image
from torch import Tensor

from tclip.data.made import make
from tclip.data.sample import derived
from tclip.data.screen import BrokenImageError, decode
from tclip.data.stream import SPARES, Draw
from tclip.data.views import view

Preprocess = Callable[[list[Image.Image]], dict[str, Tensor]]


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
        draws, seen, broken = list[Draw](), list[Image.Image](), list[tuple[str, str]]()
        for ahead in slices:
            images, unreadable = self._decoded(ahead)
            size = len(ahead) - SPARES
            places = [_stand_in(place, images) for place in range(size)]
            whole = None not in places
            # of a whole slice the spares come up again, and are named then
            reach = size if whole else len(ahead)
            broken += [(ahead[at].sample.key, why) for at, why in unreadable.items() if at < reach]
            if not whole:
                return Pixels([], {}, broken)
            chosen = [place for place in places if place is not None]
            draws += [_emptied(ahead[place]) for place in chosen]
            seen += [self._view(images[place], ahead[place]) for place in chosen]
        return Pixels(draws, self.preprocess(seen), broken)

    def view_index(self, draw: Draw) -> int:
        """Return which view of the image comes up: each in turn, epoch by epoch, from a start of its own.

        Of a made one it is the epoch: it is another in each.
        """
        if draw.sample.maker:
            return draw.epoch
        first = derived("first view", self.seed, draw.sample.key).randrange(self.views)
        return (first + draw.epoch) % self.views

    def _decoded(self, ahead: list[Draw]) -> tuple[dict[int, Image.Image], dict[int, str]]:
        images, broken = dict[int, Image.Image](), dict[int, str]()
        for place, draw in enumerate(ahead):
            if place >= len(ahead) - SPARES and place - 1 not in broken:
                break  # spares are decoded only if the draw before them was broken
            try:
                images[place] = decode(draw.sample.image_bytes)
            except BrokenImageError as error:
                broken[place] = str(error)
        return images, broken

    def _view(self, image: Image.Image, draw: Draw) -> Image.Image:
        index = self.view_index(draw)
        if draw.sample.maker:
            return make(image, draw.sample, index)
        return view(image, draw.sample.key, index, views=self.views, seed=self.seed, min_crop=self.min_crop)


def _stand_in(place: int, images: dict[int, Image.Image]) -> int | None:
    return next((candidate for candidate in range(place, place + SPARES + 1) if candidate in images), None)


def _emptied(draw: Draw) -> Draw:
    return replace(draw, sample=replace(draw.sample, image_bytes=b""))
