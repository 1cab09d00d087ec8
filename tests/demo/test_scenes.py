from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tclip.demo.scenes import COLOURS, SHAPES, Group, Scene, is_true, kinds, sample_scene
from tests.demo.reading import combinations

seeds = st.integers(0, 10**6)

STARS = Group(2, "small", "red", "star")
RING = Group(1, "big", "blue", "ring")
SCENE = Scene((STARS, RING), "left", "dark")


@pytest.fixture(scope="module")
def seen() -> set[tuple]:
    rng = Random(0)
    return set().union(*(combinations(sample_scene(rng, held_out=False)) for _ in range(20_000)))


def test_sample_scene_is_the_same_for_the_same_seed() -> None:
    def scenes(seed: int) -> list[Scene]:
        rng = Random(seed)
        return [sample_scene(rng, held_out=False) for _ in range(50)]

    assert scenes(3) == scenes(3)
    assert scenes(3) != scenes(4)


def test_every_test_scene_has_a_combination_that_no_training_scene_has(seen: set[tuple]) -> None:
    rng = Random(1)
    unseen = [combinations(sample_scene(rng, held_out=True)) - seen for _ in range(500)]
    assert all(unseen)
    by_length = {(len(c), isinstance(c[0], int)) for new in unseen for c in new}
    assert len(by_length) == 3, "colours of shapes, counts and arrangements are all held out"


def test_training_still_sees_every_colour_shape_and_direction(seen: set[tuple]) -> None:
    assert {c for c in seen if c in set(kinds())} == set(kinds(held_out=False))
    for shape in SHAPES:
        assert sum((colour, shape) in seen for colour in COLOURS) == 7
        assert sum((count, shape) in seen for count in (2, 3, 4)) == 2
        for direction in ("left", "above"):
            assert sum((shape, direction, other) in seen for other in SHAPES) == 7


def test_kinds_are_split_without_overlap() -> None:
    assert len(set(kinds())) == 64
    assert len(set(kinds(held_out=True))) == 8
    assert set(kinds(held_out=True)) | set(kinds(held_out=False)) == set(kinds())


@given(seeds, st.booleans())
def test_a_scene_told_from_either_side_is_true_of_itself(seed: int, held_out: bool) -> None:
    scene = sample_scene(Random(seed), held_out)
    assert is_true(scene, scene)
    assert is_true(scene.turned(), scene)
    assert scene.turned().turned() == scene


@pytest.mark.parametrize(
    ("claim", "truth"),
    [
        (Scene((STARS,)), True),
        (Scene((RING, STARS), "right"), True),
        (Scene((RING, STARS), "left"), False),
        (Scene((RING, STARS)), True),
        (Scene((STARS, RING), "above"), False),
        (Scene((replace(STARS, size=None),)), True),
        (Scene((replace(STARS, size="big"),)), False),
        (Scene((replace(STARS, count=1),)), False),
        (Scene((replace(STARS, colour="blue"), replace(RING, colour="red")), "left"), False),
        (Scene((STARS,), ground="light"), False),
        (Scene((STARS, STARS)), False),
    ],
)
def test_is_true(claim: Scene, truth: bool) -> None:
    assert is_true(claim, SCENE) is truth


def test_a_claim_of_two_groups_is_false_of_a_scene_of_one() -> None:
    assert not is_true(SCENE, Scene((STARS,), None, "dark"))
