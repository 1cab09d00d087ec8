"""`tclip recipes`: list the shipped recipes, show one, validate one's own."""

import json as json_format
from typing import Annotated

import typer

from tclip.cli.options import Json, Settings, complete_recipe
from tclip.cli.show import showing
from tclip.progress import Table

recipes_app = typer.Typer(help="List, show and validate recipes.")


@recipes_app.command("list")
def list_recipes(json: Json = False) -> None:
    """List the recipes that come with tclip."""
    from tclip.recipe.library import shipped

    rows = [[recipe.name, recipe.summary] for recipe in shipped()]
    with showing(json=json, quiet=True) as progress:
        progress.table(Table("Recipes", ["name", "what it is"], rows))


@recipes_app.command()
def show(name: Annotated[str, typer.Argument(autocompletion=complete_recipe)]) -> None:
    """Show a shipped recipe as it is written: what for, prerequisites, the command, how long."""
    from tclip.recipe.library import describe

    typer.echo(describe(name), nl=False)


@recipes_app.command()
def validate(
    recipe: Annotated[
        str, typer.Argument(metavar="FILE", help="YAML file, or the name of a shipped recipe.")
    ],
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Check that a recipe says what it must and does not contradict itself; every mistake is named."""
    from tclip.recipe.preflight import check_contradictions
    from tclip.recipe.read import read_recipe

    resolved = read_recipe(recipe, settings or [])
    check_contradictions(resolved)
    if json:
        typer.echo(json_format.dumps(resolved.model_dump(mode="json", by_alias=True)))
    else:
        typer.echo(f'{recipe} is valid: recipe "{resolved.name}".')
