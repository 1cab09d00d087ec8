"""`tclip pack`: write the model to ship, from a run folder."""

from tclip.cli.options import Json, Quiet, RunFolder, Settings
from tclip.cli.stage import run_one_stage


def pack(run: RunFolder, settings: Settings = None, json: Json = False, quiet: Quiet = False) -> None:
    """Write the model at 1.6 bits a ternary weight: RUN/packed."""
    run_one_stage(run, "pack", settings or [], json=json, quiet=quiet)
