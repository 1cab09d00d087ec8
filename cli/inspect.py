"""`tclip inspect`: what is, or would become, ternary in a model, a packed folder or a run."""

from typing import Annotated

import typer

from tclip.cli.options import Json, RecipeName, Revision, Settings
from tclip.cli.show import showing


def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Run, packed folder, model folder or Hub id.")],
    recipe: RecipeName = "best",
    settings: Settings = None,
    revision: Revision = None,
    weights: Annotated[bool, typer.Option("--weights", help="One row a weight, with the reason.")] = False,
    json: Json = False,
) -> None:
    """Show which weights are ternary, or would become so by a recipe, and the bytes of the files."""
    with showing(json=json, quiet=False) as progress:
        from tclip.cli.inventory import tables_of

        for table in tables_of(path, recipe, settings or [], revision, each_weight=weights):
            progress.table(table)
