"""`tclip pull`: fetch a packed model from the Hub."""

from pathlib import Path
from typing import Annotated

import typer

from tclip.cli.options import Json, Quiet, Revision
from tclip.cli.show import showing


def pull(
    repository: Annotated[str, typer.Argument(metavar="USER/NAME", help="A packed model on the Hub.")],
    revision: Revision = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Copy it there; default: the Hub's cache.", show_default=False),
    ] = None,
    all_files: Annotated[
        bool, typer.Option("--all", help="All files: ONNX, results, recipe, card too.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fetch a packed model from the Hub, and check every tensor against its checksum.

    Every command that takes a model takes USER/NAME too; what was pulled needs no network any more.
    """
    with showing(json=json, quiet=quiet) as progress:
        from tclip.hub.pull import pull as pull_model

        pull_model(repository, revision, out, progress, everything=all_files)
