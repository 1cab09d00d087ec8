"""A run folder whose packed model follows from its recipe: what exports and verify start from."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tclip.run import Run


def open_ready(folder: Path, name: str) -> "Run":
    """Open a run folder that has been packed with the recipe that it holds.

    Args:
        folder: the run folder.
        name: of what is to be done with it, for the message.

    Raises:
        UserError: no run folder, or a stage up to packing is missing or was run with other settings.
    """
    from tclip.pipeline import check_ready
    from tclip.run import open_run

    run = open_run(folder)
    check_ready(run, name)
    return run
