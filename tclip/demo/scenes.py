"""Scenes as graphs: what is in a picture, which combinations are kept for the test, what is true of it.

A scene is one group of equal things ("three small red circles") or two groups and where the first
stands towards the second. The same class, with less said, is a claim about a scene (captions.py),
so that truth is decided on the graph and never on pixels or words.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "moon")
SIZES = ("small", "medium", "big")
GROUNDS = ("dark", "light")
CONVERSE = {"left": "right", "right": "left", "above": "below", "below": "above"}

MOST_ALONE = {"small": 4, "medium": 4, "big": 3}
MOST_BESIDE = {"small": 3, "medium": 3, "big": 2}


@dataclass(frozen=True)
class Group:
    """So many things of one size, colour and shape; size None in a claim that does not speak of it."""

    count: int
    size: str | None
    colour: str
    shape: str

    @property
    def kind(self) -> tuple[str, str]:
        """Colour and shape."""
        return self.colour, self.shape


@dataclass(frozen=True)
class Scene:
    """One or two groups; `relation` is where the first stands towards the second.

    In a scene that is drawn everything is said; in a claim relation and ground may be None.
    """

    groups: tuple[Group, ...]
    relation: str | None = None
    ground: str | None = None

    def turned(self) -> "Scene":
        """Return the same scene told from its second group."""
        relation = CONVERSE[self.relation] if self.relation else None
        return replace(self, groups=self.groups[::-1], relation=relation)


def sample_scene(rng: Random, held_out: bool, single: float = 0.35) -> Scene:
    """Sample a scene with or without a combination kept for the test; `single`: share of one-group scenes."""
    while True:
        groups = _sample_groups(rng, 1 if rng.random() < single else 2)
        relation = rng.choice(list(CONVERSE)) if len(groups) == 2 else None
        scene = Scene(groups, relation, rng.choice(GROUNDS))
        if len({group.kind for group in groups}) == len(groups) and is_held_out(scene) == held_out:
            return scene


def sample_single(rng: Random, colour: str, shape: str) -> Scene:
    """Sample a scene of one thing of the given colour and shape, of any size."""
    return Scene((Group(1, rng.choice(SIZES), colour, shape),), None, rng.choice(GROUNDS))


def is_held_out(scene: Scene) -> bool:
    """Say whether the scene has a combination that no training scene has.

    Kept for the test are: for each shape one of the 8 colours, for each shape one of the counts 2 to 4,
    for each shape and direction one of the 8 shapes it can stand beside.
    """
    return any(_kind_is_held_out(group) or _count_is_held_out(group) for group in scene.groups) or (
        scene.relation is not None and _arrangement_is_held_out(scene)
    )


def kinds(held_out: bool | None = None) -> Iterator[tuple[str, str]]:
    """Yield (colour, shape): all 64, or the 8 kept for the test, or the other 56."""
    for colour in COLOURS:
        for shape in SHAPES:
            if held_out is None or _kind_is_held_out(Group(1, None, colour, shape)) == held_out:
                yield colour, shape


def is_true(claim: Scene, scene: Scene) -> bool:
    """Say whether all that the claim says holds in the scene; what it leaves unsaid does not matter."""
    if claim.ground not in (None, scene.ground):
        return False
    if len(claim.groups) == 1:
        return any(_holds(claim.groups[0], group) for group in scene.groups)
    return len(scene.groups) == 2 and any(
        all(map(_holds, claim.groups, told.groups)) and claim.relation in (None, told.relation)
        for told in (scene, scene.turned())
    )


def _holds(said: Group, drawn: Group) -> bool:
    return (said.count, said.kind) == (drawn.count, drawn.kind) and said.size in (None, drawn.size)


def _sample_groups(rng: Random, num_groups: int) -> tuple[Group, ...]:
    most = MOST_ALONE if num_groups == 1 else MOST_BESIDE
    sizes = [rng.choice(SIZES) for _ in range(num_groups)]
    return tuple(
        Group(rng.randint(1, most[size]), size, rng.choice(COLOURS), rng.choice(SHAPES)) for size in sizes
    )


def _kind_is_held_out(group: Group) -> bool:
    return (COLOURS.index(group.colour) + 3 * SHAPES.index(group.shape)) % 8 == 5


def _count_is_held_out(group: Group) -> bool:
    return group.count > 1 and (group.count + SHAPES.index(group.shape)) % 3 == 1


def _arrangement_is_held_out(scene: Scene) -> bool:
    told = scene if scene.relation in ("left", "above") else scene.turned()
    first, second = (SHAPES.index(group.shape) for group in told.groups)
    return (first + 3 * second + (told.relation == "above")) % 8 == 1
