"""Which files belong to which split, told by their names, as the Hub's own convention does."""

import re
from collections.abc import Sequence

from tclip.errors import DataError, unknown_name

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
WORD = {word: split for split, words in SPLITS.items() for word in words}
ARCHIVES = (".tar", ".tar.gz", ".tgz")


def split_of(name: str) -> str | None:
    """Return the split that a word of the file's name tells, or None: `cc3m-train-0001.tar` is train."""
    for word in re.split(r"[^a-z]+", name.lower()):
        if word in WORD:
            return WORD[word]
    return None


def in_split(names: Sequence[str], split: str, where: str) -> list[str]:
    """Return the names of one split; all of them when no name tells a split.

    Raises:
        DataError: other splits are there, this one is not.
    """
    known = {name: split_of(name) for name in names}
    if not any(known.values()):
        return list(names)
    wanted = WORD.get(split, split)
    chosen = [name for name, of in known.items() if of == wanted]
    if not chosen:
        found = {of for of in known.values() if of}
        raise DataError(f"{where}: {unknown_name('split', split, found)}")
    return chosen
