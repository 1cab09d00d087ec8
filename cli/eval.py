"""`tclip eval`: measure the forms of a model, on a run folder."""

from enum import Enum
from typing import Annotated

import typer

from tclip.cli.options import Json, Quiet, RunFolder, Settings, override
from tclip.cli.stage import run_one_stage


class Form(str, Enum):
    """What can be measured."""

    original = "original"
    trained = "trained"
    packed = "packed"
    onnx = "onnx"


def evaluate(
    run: RunFolder,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="Data set in the CLIP_benchmark layout; repeatable."),
    ] = None,
    form: Annotated[list[Form] | None, typer.Option(help="What to measure; repeatable.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Look at no more than so many samples a data set.", show_default=False)
    ] = None,
    settings: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure zero-shot classification and retrieval: writes RUN/results."""
    overrides = [
        *override("eval.data", data),
        *override("eval.forms", [each.value for each in form or []]),
        *override("eval.limit", limit),
        *(settings or []),
    ]
    run_one_stage(run, "eval", overrides, json=json, quiet=quiet)
