"""`tclip export onnx`: write what ONNX Runtime reads, from a run folder."""

from typing import Annotated, Literal

import typer

from tclip.cli.options import Json, Quiet, RunFolder, Settings, override
from tclip.cli.ready import open_ready
from tclip.cli.show import showing
from tclip.cli.stage import run_one_stage


def onnx(
    run: RunFolder,
    format: Annotated[
        Literal["base3", "nbits"] | None,
        typer.Option(
            help="base3: 1.6 bits, standard operators; nbits: 2 bits, MatMulNBits; default: the recipe's.",
            show_default=False,
        ),
    ] = None,
    activations: Annotated[
        Literal["int8", "float"] | None,
        typer.Option(help="int8: fast; float: exact; default: the recipe's.", show_default=False),
    ] = None,
    pixels: Annotated[
        Literal["float", "uint8"] | None,
        typer.Option(
            help="What the image encoder takes: normalised floats, or bytes; default: the recipe's.",
            show_default=False,
        ),
    ] = None,
    joint: Annotated[
        bool | None,
        typer.Option("--joint/--split", help="Also one file with both encoders.", show_default=False),
    ] = None,
    beside: Annotated[
        bool,
        typer.Option(
            "--beside",
            help="Write RUN/onnx-int8, -float or -nbits beside RUN/onnx; the recipe stays as it is.",
        ),
    ] = False,
    settings: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write ONNX files with the weights at 1.6 or 2 bits and compare them with the torch model: RUN/onnx."""
    overrides = [
        "export.onnx={}",  # asking for the export turns it on where the recipe has it off
        *override("export.onnx.format", format),
        *override("export.onnx.activations", activations),
        *override("export.onnx.pixels", pixels),
        *override("export.onnx.joint", joint),
        *(settings or []),
    ]
    if not beside:
        run_one_stage(run, "export", overrides, json=json, quiet=quiet)
        return
    with showing(json=json, quiet=quiet) as progress:
        from tclip.verify.gate import export_onnx_beside

        export_onnx_beside(open_ready(run, "export"), overrides, progress)
