"""Captions: what to say about a scene, and in which words.

`claim` leaves things unsaid, `phrase` finds words for what is left, `foil` says something nearly
right. A medium-sized thing is simply "a red circle"; only small and big have words.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from tclip.demo.scenes import COLOURS, CONVERSE, GROUNDS, SHAPES, Group, Scene, is_held_out, is_true

COUNT_WORDS = {2: ("two", "a pair of"), 3: ("three",), 4: ("four",)}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "big": ("big", "large")}
RELATION_WORDS = {
    "left": ("left of", "to the left of", "on the left of"),
    "right": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
}
OPENINGS = ("a picture of", "a drawing of", "an image of", "a scene with")
PLURALS = {"cross": "crosses"}


def claim(scene: Scene, rng: Random, full: bool) -> Scene:
    """Return what to say of a scene: all of it but the ground (`full`), or with things left out at random.

    Medium size is never said, so even a full claim may hold in other scenes; `is_true` tells.
    """
    keep_sizes = full or rng.random() < 0.6
    keep_relation = full or rng.random() < 0.85
    keep_ground = not full and rng.random() < 0.15
    groups = tuple(
        replace(group, size=group.size if keep_sizes and group.size != "medium" else None)
        for group in scene.groups
    )
    return Scene(groups, scene.relation if keep_relation else None, scene.ground if keep_ground else None)


def phrase(said: Scene, rng: Random, plain: bool = False) -> str:
    """Return a claim in words, told from either group; `plain`: without an opening such as "a drawing of"."""
    told = said.turned() if len(said.groups) == 2 and rng.random() < 0.5 else said
    words = [name_group(group, rng) for group in told.groups]
    link = rng.choice(RELATION_WORDS[told.relation]) if told.relation else "and"
    text = f" {link} ".join(words)
    if told.ground:
        text += f" on a {told.ground} background"
    return text if plain or rng.random() < 0.5 else f"{_opening(told, rng)} {text}"


def foil(said: Scene, scene: Scene, rng: Random) -> Scene:
    """Return a claim that differs from `said` in one point and is false of the scene.

    It keeps to combinations that training may see, so that a foil does not spoil the test.
    """
    while True:
        false = rng.choice(_CHANGES)(said, rng)
        if not is_true(false, scene) and not is_held_out(false):
            return false


def name_group(group: Group, rng: Random) -> str:
    """Return "three small red circles" and the like."""
    size = (rng.choice(SIZE_WORDS[group.size]),) if group.size in SIZE_WORDS else ()
    if group.count == 1:
        named = " ".join((*size, group.colour, group.shape))
        return f"an {named}" if named[0] in "aeiou" else f"a {named}"
    plural = PLURALS.get(group.shape, group.shape + "s")
    return " ".join((rng.choice(COUNT_WORDS[group.count]), *size, group.colour, plural))


def _opening(told: Scene, rng: Random) -> str:
    there = "there is" if told.groups[0].count == 1 else "there are"
    return rng.choice((*OPENINGS, there))


def _change_one(said: Scene, rng: Random, change: Callable[[Group], Group]) -> Scene:
    index = rng.randrange(len(said.groups))
    changed = (change(group) if i == index else group for i, group in enumerate(said.groups))
    return replace(said, groups=tuple(changed))


def _other_colour(said: Scene, rng: Random) -> Scene:
    return _change_one(said, rng, lambda group: replace(group, colour=rng.choice(COLOURS)))


def _other_shape(said: Scene, rng: Random) -> Scene:
    return _change_one(said, rng, lambda group: replace(group, shape=rng.choice(SHAPES)))


def _other_count(said: Scene, rng: Random) -> Scene:
    most = 4 if len(said.groups) == 1 else 3
    return _change_one(said, rng, lambda group: replace(group, count=rng.randint(1, most)))


def _other_size(said: Scene, rng: Random) -> Scene:
    return _change_one(said, rng, lambda group: replace(group, size=rng.choice(list(SIZE_WORDS))))


def _other_relation(said: Scene, rng: Random) -> Scene:
    return replace(said, relation=rng.choice(list(CONVERSE))) if said.relation else said


def _swapped_colours(said: Scene, rng: Random) -> Scene:
    if len(said.groups) == 1:
        return said
    first, second = said.groups
    return replace(said, groups=(replace(first, colour=second.colour), replace(second, colour=first.colour)))


def _swapped_places(said: Scene, rng: Random) -> Scene:
    return replace(said, relation=CONVERSE[said.relation]) if said.relation else said


# Shapes are the hardest to tell: most foils are about them.
_CHANGES = (
    *[_other_shape] * 5,
    _other_colour,
    _other_count,
    _other_size,
    _other_relation,
    _swapped_colours,
    _swapped_places,
)


def vocabulary() -> list[str]:
    """Return every word that a caption can hold, sorted."""
    said = [*COLOURS, *SHAPES, *GROUNDS, *OPENINGS, "a an and on background there is are"]
    said += [PLURALS.get(shape, shape + "s") for shape in SHAPES]
    said += [
        text
        for table in (COUNT_WORDS, SIZE_WORDS, RELATION_WORDS)
        for texts in table.values()
        for text in texts
    ]
    return sorted(set(" ".join(said).split()))
