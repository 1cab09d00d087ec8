"""Write the resolved recipe: every value explicit, so that a run can be repeated from the file alone."""

import os
from pathlib import Path

import yaml

from tclip.recipe.schema import Recipe
from tclip.recipe.yaml12 import Dumper

_HEADER = "# The recipe as it was run: every value that was in force, defaults included.\n"


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe as YAML that `read_recipe` turns into an equal one; keys in the schema's order.

    The file appears whole or not at all: a reader or a crash never sees half of it.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(recipe_text(recipe), encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def recipe_text(recipe: Recipe) -> str:
    """Return a recipe as the YAML that `write_recipe` writes."""
    values = recipe.model_dump(mode="json", by_alias=True)
    return _HEADER + yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
