"""`tclip export transformers`: write what stock transformers reads without tclip."""

from typing import Annotated, Literal

import typer

from tclip.cli.options import Json, Quiet, RunFolder
from tclip.cli.ready import open_ready
from tclip.cli.show import showing


def transformers(
    run: RunFolder,
    format: Annotated[
        Literal["dense", "bitnet", "compressed"],
        typer.Option(
            help="dense: ordinary bfloat16; bitnet: 2 bits and int8 activations, for one scale a weight; "
            "compressed: 2 bits on disk, read by compressed-tensors."
        ),
    ] = "dense",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a folder that transformers loads without tclip: RUN/transformers, /bitnet or /compressed."""
    with showing(json=json, quiet=quiet) as progress:
        from tclip.export.formats import FORMATS
        from tclip.verify.gate import export_verified

        export_verified(open_ready(run, "export"), format, FORMATS[format].export, progress)
