"""One stage on a run folder, which is all that calibrate, train, pack, export and eval do."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tclip.cli.show import showing
from tclip.errors import UserError

if TYPE_CHECKING:
    from tclip.recipe.schema import Recipe
    from tclip.run import Run


def run_one_stage(
    folder: Path, stage: str, overrides: Sequence[str], *, json: bool, quiet: bool, resume: bool = False
) -> None:
    """Run a stage; once it has begun, overrides are in RUN/recipe.yaml, which goes on saying what was run.

    Args:
        folder: the run folder.
        stage: a name of tclip.pipeline.STAGES.
        overrides: KEY=VALUE, of what belongs to the stage.
        json: write JSON lines.
        quiet: show only the last table.
        resume: go on from the last checkpoint (train).

    Raises:
        UserError: no run folder, an override of another stage's section, or what the stage raises.
    """
    run = open_with(folder, stage, overrides)
    with showing(json=json, quiet=quiet) as progress:
        from tclip import pipeline

        pipeline.run_stage(run, stage, progress, resume=resume)


def open_with(folder: Path, stage: str, overrides: Sequence[str]) -> "Run":
    """Open a run folder with overrides laid over its recipe; on disk it stays as it is.

    Raises:
        UserError: no run folder, a mistake in an override, or one that belongs to another stage.
    """
    from tclip.pipeline import STAGES
    from tclip.recipe.preflight import check_recipe
    from tclip.recipe.read import read_recipe
    from tclip.run import Run, open_run, with_absolute_paths

    run = open_run(folder)
    if not overrides:
        return run
    recipe = read_recipe(folder / "recipe.yaml", overrides)
    for text in overrides:
        key = text.partition("=")[0].strip()
        if not STAGES[stage].owns(key, recipe):
            raise UserError(f"--set {text} is not for `{_command(stage)}`{_whose(key, recipe, folder)}.")
    check_recipe(recipe, run.recipe)
    return Run(folder, with_absolute_paths(recipe))


def _whose(key: str, recipe: "Recipe", folder: Path) -> str:
    from tclip.pipeline import STAGES

    owners = [name for name, stage in STAGES.items() if stage.owns(key, recipe)]
    if not owners:
        return ""
    again = "" if owners[0] == list(STAGES)[-1] else ", and run the later stages again"
    return f": give it to `tclip {_command(owners[0])} {folder}`{again}"


def _command(stage: str) -> str:
    return "export onnx" if stage == "export" else stage
