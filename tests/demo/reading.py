"""Captions read back into claims, word by word: the slow reference for what captions say."""

from tclip.demo.captions import COUNT_WORDS, OPENINGS, PLURALS, RELATION_WORDS, SIZE_WORDS
from tclip.demo.scenes import COLOURS, SHAPES, Group, Scene

COUNTS = {"a": 1, "an": 1} | {word: count for count, words in COUNT_WORDS.items() for word in words}
SIZES = {word: size for size, words in SIZE_WORDS.items() for word in words}
RELATIONS = {word: relation for relation, words in RELATION_WORDS.items() for word in words} | {"and": None}
NAMES = {shape: shape for shape in SHAPES} | {PLURALS.get(shape, shape + "s"): shape for shape in SHAPES}


def read_caption(text: str) -> Scene:
    """Return the claim that a caption makes; crashes on a word in the wrong place."""
    for opening in (*OPENINGS, "there is", "there are"):
        text = text.removeprefix(f"{opening} ")
    text, _, ground = text.partition(" on a ") if text.endswith(" background") else (text, "", "")
    for link in sorted(RELATIONS, key=len, reverse=True):
        if f" {link} " in text:
            first, second = text.split(f" {link} ")
            return Scene((read_group(first), read_group(second)), RELATIONS[link], ground[:-11] or None)
    return Scene((read_group(text),), None, ground[:-11] or None)


def read_group(text: str) -> Group:
    """Return what "three small red circles" says."""
    count = next(word for word in sorted(COUNTS, key=len, reverse=True) if text.startswith(f"{word} "))
    words = text.removeprefix(f"{count} ").split()
    size = SIZES[words.pop(0)] if words[0] in SIZES else None
    colour, name = words
    assert colour in COLOURS
    assert (name in SHAPES) == (COUNTS[count] == 1), "singular for one, plural for more"
    return Group(COUNTS[count], size, colour, NAMES[name])


def combinations(scene: Scene) -> set[tuple]:
    """Return all that may be held out of a scene, told once for each direction."""
    found: set[tuple] = {group.kind for group in scene.groups}
    found |= {(group.count, group.shape) for group in scene.groups if group.count > 1}
    if scene.relation:
        told = scene if scene.relation in ("left", "above") else scene.turned()
        found.add((told.groups[0].shape, told.relation, told.groups[1].shape))
    return found
