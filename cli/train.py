"""`tclip train`: quantization-aware training with distillation, on a run folder."""

from typing import Annotated

import typer

from tclip.cli.options import Json, Quiet, RunFolder, Settings
from tclip.cli.stage import run_one_stage


def train(
    run: RunFolder,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    settings: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train the calibrated model against its teacher: writes RUN/steps and RUN/trained.

    On many GPUs: accelerate launch --module tclip.cli train RUN
    """
    run_one_stage(run, "train", settings or [], json=json, quiet=quiet, resume=resume)
