"""`tclip verify`: do all forms of a run give the same answers?"""

from typing import Annotated

import typer

from tclip.cli.options import Json, Quiet, RunFolder
from tclip.cli.ready import open_ready
from tclip.cli.show import showing


def verify(
    run: RunFolder,
    form: Annotated[
        list[str] | None,
        typer.Option(help="Compare this form; repeatable; all by default.", show_default=False),
    ] = None,
    samples: Annotated[int, typer.Option(min=2, help="Images and texts to compare on.")] = 64,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare every form that a run holds with its packed model, on real images and texts.

    Shows the cosine of the embeddings, how often both rank the same text first, and bytes. The exit code is 1
    if a form parts from the packed model by more than it may.
    """
    with showing(json=json, quiet=quiet) as progress:
        from tclip.verify.verify import verify as verify_run

        verify_run(open_ready(run, "verify"), form or [], samples, progress)
