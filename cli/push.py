"""`tclip push`: publish a run on the Hub."""

from typing import Annotated

import typer

from tclip.cli.options import Json, Quiet, RunFolder
from tclip.cli.show import showing


def push(
    run: RunFolder,
    repository: Annotated[str, typer.Argument(metavar="USER/NAME", help="Where to; made if need be.")],
    private: Annotated[bool, typer.Option("--private", help="Nobody else may see it.")] = False,
    revision: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="A branch; made if need be.", show_default=False)
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Of the original, where its card names none: mit ...", show_default=False
        ),
    ] = None,
    base_model: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Hub id of the original, where a copy was compressed.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show files and card, send nothing; needs no token.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Publish the packed model with its ONNX files, results, recipe and a model card, in one commit.

    All forms are compared with the packed model first (`tclip verify`), and afterwards the hashes of what the
    Hub holds with the files here. Interrupted, the same command goes on where it stopped.
    """
    with showing(json=json, quiet=quiet) as progress:
        from tclip.hub.push import Stated, Target
        from tclip.hub.push import push as push_run
        from tclip.run import open_run
        from tclip.verify.verify import SAMPLES
        from tclip.verify.verify import verify as verify_run

        opened = open_run(run)
        push_run(
            opened,
            Target(repository, revision, private),
            Stated(license, base_model),
            progress,
            dry_run=dry_run,
            verify=lambda: verify_run(opened, [], SAMPLES, progress),
        )
