"""`tclip export onnx`: write what other runtimes read, from a run folder."""

from typing import Annotated, Literal

import typer

from tclip.cli.options import Json, Quiet, RunFolder, Settings, override
from tclip.cli.stage import run_one_stage

export_app = typer.Typer(help="Write the packed model for other runtimes.")


@export_app.callback()
def _export() -> None:
    """Write the packed model for other runtimes."""


@export_app.command()
def onnx(
    run: RunFolder,
    activations: Annotated[
        Literal["int8", "float"] | None,
        typer.Option(help="int8: fast; float: exact; default: the recipe's.", show_default=False),
    ] = None,
    joint: Annotated[
        bool | None,
        typer.Option("--joint/--split", help="Also one file with both encoders.", show_default=False),
    ] = None,
    settings: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write ONNX files with the weights at 1.6 bits and compare them with the torch model: RUN/onnx."""
    overrides = [
        "export.onnx={}",  # asking for the export turns it on where the recipe has it off
        *override("export.onnx.activations", activations),
        *override("export.onnx.joint", joint),
        *(settings or []),
    ]
    run_one_stage(run, "export", overrides, json=json, quiet=quiet)
