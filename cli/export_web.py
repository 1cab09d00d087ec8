"""`tclip export web`: write a page that runs the packed model in the browser, from a run folder."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tclip.cli.options import Json, Quiet, RunFolder
from tclip.cli.ready import open_ready
from tclip.cli.show import showing


def web(
    run: RunFolder,
    activations: Annotated[
        Literal["int8", "float"], typer.Option(help="int8: less memory, faster; float: exact.")
    ] = "int8",
    packages: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Archives of `npm pack`, or a node_modules; by default npm fetches what the cache lacks.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a static page that searches and labels pictures in the browser: RUN/web."""
    with showing(json=json, quiet=quiet) as progress:
        from tclip.export.web import web_export
        from tclip.verify.gate import export_verified

        export_verified(
            open_ready(run, "export"), "web", web_export(packages, activations, progress), progress
        )
