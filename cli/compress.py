"""`tclip compress`: every stage of a recipe, from the model to the table at the end."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tclip.cli.options import Budget, Json, MaxCost, Quiet, RecipeName, Revision, Settings, limits, override
from tclip.cli.show import showing

if TYPE_CHECKING:
    from tclip.recipe.schema import Recipe


class Stage(str, Enum):
    """The stages, in order."""

    calibrate = "calibrate"
    train = "train"
    pack = "pack"
    export = "export"
    eval = "eval"


def compress(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Hub id, alias (ViT-B-32) or folder; default: the recipe's model.id.", show_default=False
        ),
    ] = None,
    recipe: RecipeName = "best",
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SRC", help="Image-text pairs: folder, shards, hf:// or datasets:// id; repeatable."
        ),
    ] = None,
    eval: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR",
            help="Data set to measure on, in CLIP_benchmark's layout, or hf://owner/name; repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Run folder; default: runs/MODEL-RECIPE.")
    ] = None,
    budget: Budget = None,
    max_cost: MaxCost = None,
    settings: Settings = None,
    revision: Revision = None,
    teacher: Annotated[
        str | None, typer.Option(metavar="ID", help="Model to learn from; default: the original itself.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    stop_after: Annotated[
        Stage, typer.Option(help="Last stage to run; --resume goes on later, or the stages' own commands.")
    ] = Stage.eval,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn a CLIP into a packed, exported and measured ternary CLIP.

    tclip compress ViT-B-32 --data pixparse/cc3m-wds --eval sets/cifar10 --out runs/b32
    """
    from tclip.recipe.preflight import check_recipe
    from tclip.recipe.read import read_recipe

    options = [
        *override("model.id", model),
        *override("model.revision", revision),
        *override("teacher.id", teacher),
        *override("data.train", data),
        *override("eval.data", eval),
        *limits(budget, max_cost),
    ]
    resolved = read_recipe(recipe, [*options, *(settings or [])])
    check_recipe(resolved)
    folder = out or default_folder(resolved)
    with showing(json=json, quiet=quiet) as progress:
        from tclip import pipeline

        pipeline.compress(resolved, folder, progress, resume, last=stop_after.value)


def default_folder(recipe: "Recipe") -> Path:
    """Return runs/MODEL-RECIPE, where MODEL is the last part of the model's name."""
    given = Path(str(recipe.model.id)).expanduser()
    model = given.resolve().name if given.is_dir() else given.name
    return Path("runs") / f"{model}-{recipe.name}"
