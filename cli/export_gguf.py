"""`tclip export gguf`: write what ggml reads."""

from typing import Annotated, Literal

import typer

from tclip.cli.options import Json, Quiet, RunFolder
from tclip.cli.ready import open_ready
from tclip.cli.show import showing


def gguf(
    run: RunFolder,
    type: Annotated[
        Literal["tq2_0", "tq1_0", "f16"],
        typer.Option(help="Ternary weights as blocks of 2.06 or 1.69 bits a weight, or as float16."),
    ] = "tq2_0",
    license: Annotated[
        str | None,
        typer.Option(
            help="Of the model, for the file; default: the packed model card's.", show_default=False
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a GGUF file with clip.cpp's names: RUN/gguf."""
    with showing(json=json, quiet=quiet) as progress:
        from tclip.export.gguf import gguf_export
        from tclip.verify.gate import export_verified

        opened = open_ready(run, "export")
        export_verified(opened, "gguf", gguf_export(opened, type, license), progress)
