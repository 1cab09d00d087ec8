"""`tclip report`: a page with everything that a run can show."""

from typing import Annotated

import typer

from tclip.cli.options import Json, Quiet, RunFolder
from tclip.cli.show import showing


def report(
    run: RunFolder,
    queries: Annotated[
        int, typer.Option(min=0, help="Queries to picture of a data set; 0: none, no model is loaded.")
    ] = 8,
    images: Annotated[int, typer.Option(min=2, help="Images to search of a data set, at most.")] = 1000,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a page on a run, RUN/report/report.html, and its plots as PNG.

    Accuracy before and after, bytes, layers, training curves, public small CLIPs, and pictures of queries
    with the images that both models rank first. What the run has nothing for is left out and named,
    and so is what is out of date.
    """
    with showing(json=json, quiet=quiet) as progress:
        from tclip.pipeline import state_of
        from tclip.report.report import write_report
        from tclip.run import STAGE_ORDER, open_run

        opened = open_run(run)
        states = {stage: state_of(opened, stage) for stage in STAGE_ORDER}
        write_report(opened, states, progress, queries, images)
