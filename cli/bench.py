"""`tclip bench`: how fast a packed model answers, beside torch, ONNX Runtime and OpenVINO."""

from typing import Annotated

import typer

from tclip.cli.options import Json, Quiet, Revision, Threads
from tclip.cli.show import showing


def bench(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Run, packed folder or Hub id.")],
    batches: Annotated[str, typer.Option("--batch", metavar="N,N", help="Inputs a call.")] = "1,8,32",
    towers: Annotated[str, typer.Option(help="image, text or both.")] = "both",
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="torch-float32, torch-bfloat16, onnx-int8, onnx-float32, onnx-nbits, openvino-int8, "
            "openvino-float32, tclip:PATH, or none; "
            "by default all that are installed.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Of measuring, for each number and round.")] = 1.0,
    pause: Annotated[
        float, typer.Option(min=0, help="Also measure with so many ms of idling before each call.")
    ] = 0,
    threads: Threads = None,
    revision: Revision = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure latency (median and 95th percentile), throughput and peak memory.

    Each way to run the model has a process of its own, and all take turns in three rounds; "spread" is how
    far the rounds' medians lie apart.
    """
    with showing(json=json, quiet=quiet) as progress:
        from tclip.bench.choose import plan_of
        from tclip.bench.run import results_table, run_plan

        plan = plan_of(model, revision, against, towers, batches, seconds, pause, threads)
        title = f"{model}: {plan.threads} threads, {plan.image_size} x {plan.image_size} pixels"
        progress.table(results_table(run_plan(plan, progress), title))
