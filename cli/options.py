"""Arguments and options that several commands share, and how they become overrides of the recipe."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from tclip.errors import UserError


def complete_recipe(incomplete: str) -> Iterator[tuple[str, str]]:
    """Offer the shipped recipes to the shell, each with its summary."""
    from tclip.recipe.library import shipped

    return ((recipe.name, recipe.summary) for recipe in shipped() if recipe.name.startswith(incomplete))


RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that `tclip compress` made.")]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe", metavar="NAME|FILE", autocompletion=complete_recipe, help="Shipped recipe or YAML file."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the recipe; repeatable."),
]
Revision = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of the model on the Hub.", show_default=False)
]
PackedModel = Annotated[
    str,
    typer.Option("--model", "-m", metavar="MODEL", help="Run, packed folder or Hub id.", show_default=False),
]
Budget = Annotated[
    str | None,
    typer.Option(
        metavar="35MB|115%",
        help="Most bytes of the packed model: the weights that suffer most keep 4 or 8 bits within it.",
        show_default=False,
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        metavar="COST",
        help="In place of a budget: most that the weights' costs may add up to, in the fewest bytes.",
        show_default=False,
    ),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Most threads to use; all cores by default.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout, for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only errors and the last table.")]


def limits(budget: str | None, max_cost: float | None) -> list[str]:
    """Return the overrides that set a budget or a cost; it takes the place of the recipe's other.

    Raises:
        UserError: both are given.
    """
    if budget is not None and max_cost is not None:
        raise UserError("Give either --budget or --max-cost: one sets the size, the other the nearness.")
    given = [*override("quantize.budget", budget), *override("quantize.max_cost", max_cost)]
    if not given:
        return []
    return [*given, f"quantize.{'max_cost' if max_cost is None else 'budget'}=null"]


def override(key: str, value: Any) -> list[str]:
    """Return the override that sets a key of the recipe, or nothing for None and for an empty list."""
    if value is None or value == []:
        return []
    return [f"{key}={json.dumps(value, ensure_ascii=False)}"]
