from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tclip.demo.draw import PATTERNS, RADII, SIDE, TEST_PATTERN, arrange, draw
from tclip.demo.scenes import COLOURS, SHAPES, Group, Scene, sample_scene

seeds = st.integers(0, 10**6)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_draw_is_the_same_for_the_same_seed(seed: int) -> None:
    scene = sample_scene(Random(seed), held_out=False)
    first, second, other = (draw(scene, Random(s)) for s in (seed, seed, seed + 1))
    assert first.size == (SIDE, SIDE) and first.mode == "RGB"
    assert first.tobytes() == second.tobytes() != other.tobytes()


@given(seeds, st.booleans())
@settings(max_examples=200, deadline=None)
def test_arrange_puts_everything_inside_apart_and_in_relation(seed: int, held_out: bool) -> None:
    rng = Random(seed)
    scene = sample_scene(rng, held_out)
    marks = arrange(scene, rng)
    for group in scene.groups:
        own = [mark for mark in marks if mark.group == group]
        assert len(own) == group.count
        assert all(RADII[group.size][0] <= mark.radius <= RADII[group.size][1] for mark in own)
    for i, mark in enumerate(marks):
        assert mark.radius <= mark.x <= SIDE - mark.radius
        assert mark.radius <= mark.y <= SIDE - mark.radius
        for other in marks[:i]:
            assert abs(complex(mark.x - other.x, mark.y - other.y)) > mark.radius + other.radius
    if scene.relation:
        told = scene if scene.relation in ("left", "above") else scene.turned()
        axis = "x" if told.relation == "left" else "y"
        first, second = ([getattr(m, axis) for m in marks if m.group == group] for group in told.groups)
        assert max(first) < min(second)


def test_arrange_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        arrange(Scene((Group(9, "big", "red", "star"),), None, "dark"), Random(0))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", ["square", "ring", "star"])
def test_as_many_things_are_painted_as_the_scene_says(shape: str, count: int) -> None:
    scene = Scene((Group(count, "medium", "white", shape),), None, "dark")
    for seed in range(5):
        image = draw(scene, Random(seed), ("plain",))
        assert count_blobs(image.convert("L").point(lambda value: 255 * (value > 140))) == count


@pytest.mark.parametrize("pattern", [*PATTERNS, TEST_PATTERN])
@pytest.mark.parametrize("ground", ["dark", "light"])
def test_each_colour_is_told_from_the_others_on_any_ground(pattern: str, ground: str) -> None:
    middles = {}
    for colour in COLOURS:
        rng = Random(colour)
        scene = Scene((Group(1, "big", colour, "circle"),), None, ground)
        (mark,) = arrange(scene, Random(7))
        arrange(scene, rng)
        x, y = round(mark.x), round(mark.y)
        image = draw(scene, Random(7), (pattern,))
        middles[colour] = (
            image.crop((x - 3, y - 3, x + 3, y + 3)).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        )
        corner = image.resize((8, 8), Image.Resampling.BOX).getpixel((0, 0) if x > SIDE / 2 else (7, 0))
        assert distance(middles[colour], corner) > 40
    for colour, middle in middles.items():
        assert all(distance(middle, middles[other]) > 40 for other in COLOURS if other != colour)


def test_each_shape_is_painted_differently() -> None:
    pictures = {
        draw(Scene((Group(1, "big", "red", shape),), None, "dark"), Random(1)).tobytes() for shape in SHAPES
    }
    assert len(pictures) == len(SHAPES)


def distance(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5


def count_blobs(mask: Image.Image) -> int:
    white = {(x, y) for x in range(mask.width) for y in range(mask.height) if mask.getpixel((x, y))}
    blobs = 0
    while white:
        blobs, edge = blobs + 1, [white.pop()]
        while edge:
            x, y = edge.pop()
            near = {(x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)} & white
            white -= near
            edge += near
    return blobs
