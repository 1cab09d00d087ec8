"""Scenes as pictures: where things stand, their hand-drawn outlines, the ground they lie on.

Everything is drawn `ZOOM` times larger and averaged down, so that edges are smooth. All chance comes
from the generator that is passed in: the same seed gives the same picture.
"""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from tclip.demo.scenes import Group, Scene

SIDE = 56  # pixels
ZOOM = 4
RADII = {"small": (5.0, 5.7), "medium": (7.0, 7.9), "big": (9.7, 11.0)}  # pixels
TRIES = 2000
TRIES_A_MARK = 12

# Hue in degrees, saturation, value.
PAINTS = {
    "red": (0, 0.85, 0.85),
    "orange": (26, 0.95, 0.98),
    "yellow": (54, 0.85, 0.98),
    "green": (125, 0.75, 0.65),
    "blue": (220, 0.80, 0.90),
    "purple": (275, 0.70, 0.70),
    "pink": (330, 0.40, 1.00),
    "white": (0, 0.00, 0.98),
}
GROUND_VALUES = {"dark": (0.08, 0.28), "light": (0.50, 0.68)}
PATTERNS = ("plain", "gradient", "stripes", "speckle")
TEST_PATTERN = "checks"

Colour = tuple[int, int, int]
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Mark:
    """One thing in its place: centre and radius in pixels, angle in radians."""

    group: Group
    x: float
    y: float
    radius: float
    angle: float


def arrange(scene: Scene, rng: Random) -> list[Mark]:
    """Place the things of a scene so that none touch and the relation is plain to see.

    Raises ValueError for a scene with more things than fit.
    """
    for _ in range(TRIES):
        marks = _place(scene, rng)
        if marks is not None and _relation_is_plain(scene, marks):
            return marks
    raise ValueError(f"the things of this scene do not fit into {SIDE}x{SIDE} pixels: {scene}")


def paint(
    scene: Scene, marks: Sequence[Mark], rng: Random, patterns: Sequence[str] = PATTERNS
) -> Image.Image:
    """Return the SIDE x SIDE RGB picture of a scene whose things are placed, on one of the patterns."""
    ground = scene.ground or "dark"
    canvas = _paint_ground(ground, rng.choice(patterns), rng).resize(
        (SIDE * ZOOM, SIDE * ZOOM), Image.Resampling.NEAREST
    )
    pen = ImageDraw.Draw(canvas)
    for mark in marks:
        pen.polygon(_outline(mark, rng), fill=_mix(mark.group.colour, rng))
    image = canvas.reduce(ZOOM)
    noise = Image.frombytes("RGB", (SIDE, SIDE), rng.randbytes(SIDE * SIDE * 3))
    return Image.blend(image, noise, rng.uniform(0.0, 0.08))


def draw(scene: Scene, rng: Random, patterns: Sequence[str] = PATTERNS) -> Image.Image:
    """Return a SIDE x SIDE RGB picture of the scene."""
    return paint(scene, arrange(scene, rng), rng, patterns)


def _place(scene: Scene, rng: Random) -> list[Mark] | None:
    radii = [rng.uniform(*RADII[group.size or "medium"]) for group in scene.groups]
    marks: list[Mark] = []
    for group, radius, box in zip(scene.groups, radii, _regions(scene, radii, rng), strict=True):
        for _ in range(group.count):
            free = _free_place(marks, radius, box, rng)
            if free is None:
                return None
            marks.append(Mark(group, *free, radius, math.radians(rng.uniform(-10, 10))))
    return marks


def _free_place(marks: Sequence[Mark], radius: float, box: Box, rng: Random) -> Point | None:
    left, top, right, bottom = box
    for _ in range(TRIES_A_MARK):
        x, y = rng.uniform(left + radius, right - radius), rng.uniform(top + radius, bottom - radius)
        if all(math.hypot(x - mark.x, y - mark.y) >= radius + mark.radius + 1.5 for mark in marks):
            return x, y
    return None


def _regions(scene: Scene, radii: Sequence[float], rng: Random) -> list[Box]:
    """Return the room for each group: all of it, or the two sides of a random cut."""
    low, high = 1.0, SIDE - 1.0
    if scene.relation is None:
        return [(low, low, high, high)] * len(scene.groups)
    first_is_low = scene.relation in ("left", "above")
    near, far = radii if first_is_low else radii[::-1]
    cut = rng.uniform(low + 2 * near + 1, high - 2 * far - 1)
    if scene.relation in ("left", "right"):
        sides = [(low, low, cut - 1, high), (cut + 1, low, high, high)]
    else:
        sides = [(low, low, high, cut - 1), (low, cut + 1, high, high)]
    return sides if first_is_low else sides[::-1]


def _relation_is_plain(scene: Scene, marks: Sequence[Mark]) -> bool:
    # Left of, but more above than left, would make "above" true as well.
    if scene.relation is None:
        return True
    first, second = (
        [(mark.x, mark.y) for mark in marks if mark.group.kind == group.kind] for group in scene.groups
    )
    across, down = (
        abs(sum(p[axis] for p in first) / len(first) - sum(p[axis] for p in second) / len(second))
        for axis in (0, 1)
    )
    along, aside = (across, down) if scene.relation in ("left", "right") else (down, across)
    return aside < 0.5 * along


def _outline(mark: Mark, rng: Random) -> list[Point]:
    wide, bend = rng.uniform(0.92, 1.08), rng.uniform(0.0, 0.05)
    turn = rng.uniform(0.0, math.tau)
    points = []
    for u, v in OUTLINES[mark.group.shape]:
        wobble = mark.radius * (1 + bend * math.cos(3 * math.atan2(v, u) + turn))
        x, y = u * wobble * wide, v * wobble / wide
        cos, sin = math.cos(mark.angle), math.sin(mark.angle)
        points.append(((mark.x + x * cos - y * sin) * ZOOM, (mark.y + x * sin + y * cos) * ZOOM))
    return points


def _mix(colour: str, rng: Random) -> Colour:
    hue, saturation, value = PAINTS[colour]
    return _rgb(
        hue + rng.uniform(-6, 6),
        saturation * rng.uniform(0.88, 1.0),
        min(1.0, value * rng.uniform(0.88, 1.05)),
    )


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _paint_ground(ground: str, pattern: str, rng: Random) -> Image.Image:
    hue, saturation, value = rng.uniform(0, 360), rng.uniform(0, 0.25), rng.uniform(*GROUND_VALUES[ground])
    base = Image.new("RGB", (SIDE, SIDE), _rgb(hue, saturation, value))
    other = Image.new("RGB", (SIDE, SIDE), _rgb(hue + 30, saturation, value + 0.08))
    return Image.composite(other, base, _pattern_mask(pattern, rng))


def _pattern_mask(pattern: str, rng: Random) -> Image.Image:
    mask = Image.new("L", (SIDE, SIDE), 0)
    pen, step = ImageDraw.Draw(mask), rng.randint(5, 12)
    if pattern == "gradient":
        return Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize((SIDE, SIDE))
    if pattern == "speckle":
        return Image.frombytes("L", (SIDE // 2, SIDE // 2), rng.randbytes(SIDE * SIDE // 4)).resize(
            (SIDE, SIDE)
        )
    if pattern == "stripes":
        lean = rng.randint(-SIDE // 2, SIDE // 2)
        for x in range(-SIDE, 2 * SIDE, 2 * step):
            pen.line([(x, 0), (x + lean, SIDE)], fill=255, width=step)
    if pattern == "checks":
        for x in range(0, SIDE, step):
            for y in range(x // step % 2 * step, SIDE, 2 * step):
                pen.rectangle([x, y, x + step - 1, y + step - 1], fill=255)
    return mask


def _arc(radius: float, start: float, stop: float, steps: int, centre: float = 0.0) -> list[Point]:
    angles = (math.radians(start + (stop - start) * step / steps) for step in range(steps + 1))
    return [(centre + radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]


def _star() -> list[Point]:
    spikes = [(1.15 if step % 2 == 0 else 0.48, math.pi * (step / 5 - 0.5)) for step in range(10)]
    return [(radius * math.cos(angle), radius * math.sin(angle)) for radius, angle in spikes]


def _heart() -> list[Point]:
    angles = [math.tau * step / 32 for step in range(32)]
    return [
        (
            1.05 * math.sin(a) ** 3,
            -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 15,
        )
        for a in angles
    ]


def _cross(arm: float = 0.33) -> list[Point]:
    corner = [(1.0, arm), (arm, arm), (arm, 1.0)]
    turns: list[Point] = []
    for _ in range(4):
        turns += corner
        corner = [(-v, u) for u, v in corner]
    return turns


# Unit outlines, y down. The ring is one line: around, in, and back around.
OUTLINES: dict[str, list[Point]] = {
    "circle": _arc(0.95, 0.0, 360.0, 32),
    "square": [(0.85, 0.85), (-0.85, 0.85), (-0.85, -0.85), (0.85, -0.85)],
    "triangle": [(0.0, -1.05), (1.0, 0.75), (-1.0, 0.75)],
    "star": _star(),
    "heart": _heart(),
    "cross": _cross(),
    "ring": [*_arc(1.0, 0.0, 360.0, 32), *_arc(0.55, 360.0, 0.0, 32)],
    "moon": [*_arc(1.0, 50.0, 310.0, 24), *_arc(0.80, 290.0, 70.0, 24, centre=0.4)],
}
