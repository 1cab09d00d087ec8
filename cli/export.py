"""`tclip export`: write the packed model for other runtimes, one command a target."""

import typer

from tclip.cli.export_gguf import gguf
from tclip.cli.export_onnx import onnx
from tclip.cli.export_transformers import transformers
from tclip.cli.export_web import web

export_app = typer.Typer(help="Write the packed model for other runtimes.")


@export_app.callback()
def _export() -> None:
    """Write the packed model for other runtimes."""


export_app.command()(onnx)
export_app.command()(transformers)
export_app.command()(gguf)
export_app.command()(web)
