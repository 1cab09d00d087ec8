"""Overrides of single recipe values: `--set train.lr=1e-4`."""

from collections.abc import Sequence

from tclip.errors import RecipeError
from tclip.recipe.document import Located, merge, parse
from tclip.recipe.yaml12 import plain_value

_FILE_ONLY = ("extends", "schema")


def read_overrides(overrides: Sequence[str], problems: list[str]) -> Located:
    """Return overrides `KEY=VALUE` as one tree, later ones over earlier ones.

    KEY is dotted (`train.losses.feature`). A VALUE that begins with [ { ' or " is read as YAML (lists,
    mappings, quoted text); any other is one plain word as in a recipe: `1e-4` a number, `null` or
    nothing null, `true` a truth value, all else text, so that `*.fc1.weight` needs no second quoting.
    Sentences about malformed overrides are added to `problems`.
    """
    tree = Located({}, "--set")
    for override in overrides:
        where = f"--set {override}"
        key, equals, text = override.partition("=")
        keys = key.strip().split(".")
        if not equals or not all(keys):
            problems.append(f"{where}: write --set KEY=VALUE with a dotted key, such as --set train.lr=1e-4.")
        elif keys[0] in _FILE_ONLY:
            problems.append(f'{where}: "{keys[0]}" is said in the recipe file and cannot be overridden.')
        else:
            value = _value(text.strip(), where, problems)
            tree = merge(tree, _nested(keys, value)) if value else tree
    return tree


def _value(text: str, where: str, problems: list[str]) -> Located | None:
    if not text.startswith(("[", "{", "'", '"')):
        return Located(plain_value(text), where)
    try:
        return parse(text, where, problems, in_lines=False)
    except RecipeError as error:
        problems.append(str(error))
    return None


def _nested(keys: list[str], value: Located) -> Located:
    for key in reversed(keys):
        value = Located({key: value}, value.where)
    return value
