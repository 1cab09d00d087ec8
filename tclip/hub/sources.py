"""Which data sets of a recipe are on the Hub, for all to see."""

from collections.abc import Iterable

from tclip.data.hub import BARE, parse
from tclip.data.rows import SPEC as ROWS
from tclip.recipe.local import is_local
from tclip.recipe.schema import Recipe


def dataset_ids(recipe: Recipe) -> list[str]:
    """Return the Hub ids of the data that a recipe trains and calibrates on, each once."""
    named = [_hub_id(spec) for spec in (*recipe.data.train, *recipe.data.calibrate)]
    return list(dict.fromkeys(found for found in named if found))


def hub_id_of(name: str, specs: Iterable[str]) -> str | None:
    """Return the Hub id among `specs` whose data set is called `name`, if there is one."""
    return next((found for spec in specs if (found := _hub_id(spec)) and found.endswith(f"/{name}")), None)


def _hub_id(spec: str) -> str | None:
    """Return the owner/name of data on the Hub, None for data that lie elsewhere."""
    if spec.startswith("hf://"):
        return parse(spec).repo
    rows = ROWS.fullmatch(spec)
    name = rows["id"] if rows else spec
    return name if BARE.fullmatch(name) and not is_local(name) else None
