"""What is wrong with a recipe, as sentences: place, key, what was expected, what was found."""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from tclip.errors import did_you_mean
from tclip.recipe.document import Located, dotted
from tclip.recipe.expected import Keys, choices_at, expected_at, has_pattern, keys_at, kinds_at, places_of

_LONGEST_SHOWN = 60


def explain(error: ValidationError, tree: Located) -> list[str]:
    """Return a sentence for each thing that validation found wrong with the tree it was given."""
    return [_sentence(detail, tree) for detail in error.errors(include_url=False)]


def misplaced_truths(tree: Located, keys: Keys = ()) -> Iterator[str]:
    """Yield a sentence for each true or false that stands for a number: Python would take true for 1."""
    if isinstance(tree.value, bool) and {"integer", "number"} & kinds_at(keys):
        yield _unexpected(keys, tree)
    elif isinstance(tree.value, dict):
        for key, child in tree.value.items():
            yield from misplaced_truths(child, (*keys, key))


def _sentence(detail: Any, tree: Located) -> str:
    keys: Keys = tuple(detail["loc"])
    written = tree.find(keys)
    if detail["type"] == "extra_forbidden":
        return f"{written.where}: {_unknown_key(keys)}"
    if detail["type"] == "value_error":
        return f"{_where_of_rule(detail, keys, tree)}: {_rule(detail, keys)}"
    return _unexpected(keys, written)


def _unknown_key(keys: Keys) -> str:
    section, key = keys[:-1], str(keys[-1])
    known, elsewhere = keys_at(section) + ([] if section else ["extends"]), places_of(key)
    name = f'"{dotted(section)}"' if section else "the document"
    belongs = f' "{key}" is a key elsewhere: {", ".join(elsewhere)}.' if elsewhere else ""
    hint = did_you_mean(key, known) or belongs
    return f'unknown key "{dotted(keys)}".{hint} Keys of {name}: {", ".join(known)}.'


def _rule(detail: Any, keys: Keys) -> str:
    message = str(detail["ctx"]["error"]).removesuffix(".")
    return f"{dotted(keys)}: {message}." if keys else f"{message}."


def _where_of_rule(detail: Any, keys: Keys, tree: Located) -> str:
    """A rule between sections is reported at the first key which its message names."""
    if keys:
        return tree.find(keys).where
    for name in re.findall(r"\w+(?:\.\w+)+", str(detail["ctx"]["error"])):
        written = tree.find(tuple(name.split(".")))
        if written is not tree:
            return written.where
    return tree.where


def _unexpected(keys: Keys, written: Located) -> str:
    value = written.value
    hint = did_you_mean(value, choices_at(keys)) if isinstance(value, str) else ""
    if "string" in kinds_at(keys) and not has_pattern(keys) and isinstance(value, bool | int | float):
        hint = " Put it in quotes to make it text."
    if isinstance(value, float) and value.is_integer() and "integer" in kinds_at(keys):
        hint = f" Write {value:.0f}."
    return f"{written.where}: {dotted(keys)}: expected {expected_at(keys)}, found {_found(value)}.{hint}"


def _found(value: Any) -> str:
    if isinstance(value, dict):
        return f"a section with keys {', '.join(value)}" if value else "an empty section"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the text "{value[:_LONGEST_SHOWN]}{"..." if len(value) > _LONGEST_SHOWN else ""}"'
    return f"{value}"
