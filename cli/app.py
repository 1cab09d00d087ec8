"""The command `tclip`: its commands, and the one place where an exception becomes a sentence.

Nothing heavy is imported here or in the modules of the commands, so that --help answers at once.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tclip.cli.bench import bench
from tclip.cli.calibrate import calibrate
from tclip.cli.classify import classify
from tclip.cli.compress import compress
from tclip.cli.embed import embed
from tclip.cli.errors import INTERRUPTED, interrupted, known_failure, usage_mistake
from tclip.cli.eval import evaluate
from tclip.cli.export import export_app
from tclip.cli.inspect import inspect
from tclip.cli.pack import pack
from tclip.cli.pull import pull
from tclip.cli.push import push
from tclip.cli.recipes import recipes_app
from tclip.cli.report import report
from tclip.cli.search import search
from tclip.cli.sensitivity import sensitivity
from tclip.cli.tables import take_any_name
from tclip.cli.train import train
from tclip.cli.verify import verify
from tclip.errors import UserError

MISTAKE = 2
FAILURE = 1

app = typer.Typer(
    name="tclip",
    help="Turn any Hugging Face CLIP into a ternary CLIP: calibrate, distil, pack, export, measure, use.",
    epilog="Exit codes: 0 done, 2 a mistake in what was asked, 1 a failure of disk, network or machine, "
    "130 interrupted. TCLIP_DEBUG=1 shows the traceback of every error.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command()(compress)
app.command()(calibrate)
app.command()(train)
app.command()(pack)
app.add_typer(export_app, name="export")
app.command("eval")(evaluate)
app.command()(verify)
app.command()(report)
app.command()(push)
app.command()(pull)
app.command()(inspect)
app.command()(sensitivity)
app.command()(classify)
app.command()(embed)
app.command()(search)
app.command()(bench)
app.add_typer(recipes_app, name="recipes")


def _version(wanted: bool) -> bool:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tclip {version('tclip')}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    take_any_name()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: what follows the program's name; sys.argv[1:] by default. None at all asks for help.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    for library in ("TRANSFORMERS_VERBOSITY", "HF_HUB_VERBOSITY"):  # what fails is said in one sentence
        os.environ.setdefault(library, "error")
    try:
        code = app(args=arguments or ["--help"], prog_name="tclip", standalone_mode=False) or 0
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None or os.environ.get("TCLIP_DEBUG") == "1":
            raise
        typer.echo(f"tclip: {sentence}", err=True)
        if isinstance(error, UserError):
            return error.exit_code
        return MISTAKE if isinstance(error, typer.TyperException) else FAILURE
    if code == INTERRUPTED:
        typer.echo(f"tclip: {interrupted()}", err=True)
    return int(code)


def _sentence(error: Exception) -> str | None:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        return usage_mistake(error.format_message(), context.command_path if context else "tclip")
    if isinstance(error, typer.Abort):
        return "Stopped: the input ended."
    return known_failure(error)
