"""`tclip sensitivity`: what each weight of a model would cost as a ternary one, and at 4 or 8 bits."""

from pathlib import Path
from typing import Annotated

import typer

from tclip.cli.options import Budget, Json, MaxCost, Quiet, RecipeName, Revision, Settings, limits, override
from tclip.cli.show import showing


def sensitivity(
    model: Annotated[str, typer.Argument(help="Hub id, alias (ViT-B-32) or folder.")],
    data: Annotated[
        list[str],
        typer.Option(
            metavar="SRC", help="Image-text pairs: folder, shards, hf:// or datasets:// id; repeatable."
        ),
    ],
    recipe: RecipeName = "best",
    budget: Budget = None,
    max_cost: MaxCost = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the ratings as JSON; an interrupted call goes on from it."),
    ] = None,
    settings: Settings = None,
    revision: Revision = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rank the weights of a CLIP by what ternarizing each alone costs.

    Without --out nothing is kept of an interrupted call.

    tclip sensitivity ViT-B-32 --data pairs --out sensitivity.json
    """
    from tclip.recipe.preflight import check_recipe
    from tclip.recipe.read import read_recipe

    options = [
        *override("model.id", model),
        *override("model.revision", revision),
        *override("data.train", data),
        *limits(budget, max_cost),
    ]
    resolved = read_recipe(recipe, [*options, *(settings or [])])
    check_recipe(resolved)
    with showing(json=json, quiet=quiet) as progress:
        from tclip.calibrate import mixed

        mixed.sensitivity(resolved, progress, out)
