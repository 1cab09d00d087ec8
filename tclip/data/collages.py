"""Collages of a pair's image: parts cut out in any outline, laid on plain grounds beside drawn shapes.

Photographs and their parts are full of detail up to the edges. Goods, icons and drawings are not: one thing
on a plain ground, flat colours, hard outlines. A tower that sees no such pictures in training forgets them.
"""

import math
from collections.abc import Callable, Sequence
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageOps

from tclip.data.sample import derived

SIDE = 224  # pixels of a collage
AREA = (0.02, 0.4)  # of a part, as a share of the image
SIZE = (0.35, 1.0)  # of a part once it is laid down, as a share of the side
SHAPES = (0, 0, 1, 2, 4, 7)  # how many are drawn; where there are many, a part less
PARTS = (1, 1, 2, 3)
MANY = 3
TINTED = 0.3  # share of the collages whose colours are changed
WHITE = 0.35  # share of the colours
GREY = 0.25

Color = tuple[int, int, int]
Box = tuple[int, int, int, int]  # left, top, right, bottom


def collage(image: Image.Image, key: str, epoch: int) -> Image.Image:
    """Return a square picture made of parts of an image and of drawn shapes.

    Args:
        image: RGB.
        key: of the sample; the collage depends on (key, epoch) and the image only.
        epoch: another collage in each.
    """
    rng = derived("collage", key, epoch)
    picture = _ground(image, rng)
    num_shapes = rng.choice(SHAPES)
    for _ in range(num_shapes):
        _draw(picture, rng)
    for _ in range(rng.choice(PARTS) - (1 if num_shapes > MANY else 0)):
        _lay(picture, image, rng)
    return rng.choice(TINTS)(picture, rng) if rng.random() < TINTED else picture


def _ground(image: Image.Image, rng: Random) -> Image.Image:
    """A plain colour, a slope from one to another, or the image itself."""
    plain = Image.new("RGB", (SIDE, SIDE), _color(rng))
    choice = rng.random()
    if choice < 0.7:
        return plain
    if choice < 0.85:
        slope = Image.linear_gradient("L").resize((SIDE, SIDE)).rotate(90 * rng.randrange(4))
        return Image.composite(plain, Image.new("RGB", (SIDE, SIDE), _color(rng)), slope)
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def _lay(picture: Image.Image, image: Image.Image, rng: Random) -> None:
    """Cut a part out of the image and lay it down somewhere."""
    left, top, right, bottom = _box(rng, SIZE)
    width, height = right - left, bottom - top
    area = rng.uniform(*AREA) * image.width * image.height
    cut_width = max(1, min(image.width, round(math.sqrt(area * width / height))))
    cut_height = max(1, min(image.height, round(math.sqrt(area * height / width))))
    x, y = rng.randint(0, image.width - cut_width), rng.randint(0, image.height - cut_height)
    cut = (x, y, x + cut_width, y + cut_height)
    part = image.resize((width, height), Image.Resampling.BICUBIC, box=cut, reducing_gap=2.0)
    mask = Image.new("L", (width, height))
    rng.choice(OUTLINES)(ImageDraw.Draw(mask), (0, 0, width - 1, height - 1), 255, rng)
    picture.paste(ImageOps.mirror(part) if rng.random() < 0.5 else part, (left, top), mask)


def _draw(picture: Image.Image, rng: Random) -> None:
    """Draw one shape, filled or as a line."""
    draw = ImageDraw.Draw(picture)
    if rng.random() < 0.2:
        points = [(rng.uniform(0, SIDE), rng.uniform(0, SIDE)) for _ in range(rng.randint(2, 5))]
        draw.line(points, fill=_color(rng), width=rng.randint(1, SIDE // 14), joint="curve")
    else:
        rng.choice(OUTLINES)(draw, _box(rng, (0.1, 0.9)), _color(rng), rng)


def _box(rng: Random, sizes: tuple[float, float]) -> Box:
    """A box of any place in the collage; `sizes`: the root of its area as a share of the side."""
    size, aspect = rng.uniform(*sizes) * SIDE, math.exp(rng.uniform(-0.7, 0.7))
    width, height = (min(SIDE, round(size * ratio)) for ratio in (math.sqrt(aspect), math.sqrt(1 / aspect)))
    left, top = rng.randint(0, SIDE - width), rng.randint(0, SIDE - height)
    return left, top, left + width, top + height


def _color(rng: Random) -> Color:
    choice = rng.random()
    if choice < WHITE:
        return 255, 255, 255
    if choice < WHITE + GREY:
        return (rng.randint(0, 255),) * 3
    return rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255)


def _ellipse(draw: ImageDraw.ImageDraw, box: Box, fill: Color | int, _rng: Random) -> None:
    draw.ellipse(box, fill=fill)


def _rectangle(draw: ImageDraw.ImageDraw, box: Box, fill: Color | int, rng: Random) -> None:
    least = min(box[2] - box[0], box[3] - box[1])
    draw.rounded_rectangle(box, radius=rng.choice((0, 0.2, 0.5)) * least, fill=fill)


def _polygon(draw: ImageDraw.ImageDraw, box: Box, fill: Color | int, rng: Random) -> None:
    """Corners in turn around the middle of the box, so that no edges cross."""
    left, top, right, bottom = box
    corners, start = rng.randint(3, 12), rng.uniform(0, 2 * math.pi)
    points = []
    for corner in range(corners):
        angle, reach = start + 2 * math.pi * corner / corners, rng.uniform(0.5, 1.0) / 2
        points.append(
            (
                (left + right) / 2 + reach * (right - left) * math.cos(angle),
                (top + bottom) / 2 + reach * (bottom - top) * math.sin(angle),
            )
        )
    draw.polygon(points, fill=fill)


def _turned(picture: Image.Image, rng: Random) -> Image.Image:
    """Turn all hues by the same angle."""
    hue, saturation, value = picture.convert("HSV").split()
    turn = Image.new("L", picture.size, rng.randint(1, 255))
    return Image.merge("HSV", (ImageChops.add_modulo(hue, turn), saturation, value)).convert("RGB")


def _grey(picture: Image.Image, _rng: Random) -> Image.Image:
    return ImageOps.grayscale(picture).convert("RGB")


def _flat(picture: Image.Image, rng: Random) -> Image.Image:
    """Leave few levels of each colour, as print does."""
    return ImageOps.posterize(picture, rng.randint(1, 3))


OUTLINES: Sequence[Callable[[ImageDraw.ImageDraw, Box, Color | int, Random], None]] = (
    _ellipse,
    _rectangle,
    _polygon,
    _polygon,
)
TINTS: Sequence[Callable[[Image.Image, Random], Image.Image]] = (_turned, _turned, _grey, _flat)
