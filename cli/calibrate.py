"""`tclip calibrate`: ternarize without training, on a run folder."""

from tclip.cli.options import Json, Quiet, RunFolder, Settings
from tclip.cli.stage import run_one_stage


def calibrate(run: RunFolder, settings: Settings = None, json: Json = False, quiet: Quiet = False) -> None:
    """Ternarize the model layer by layer, without training: writes RUN/calibrated."""
    run_one_stage(run, "calibrate", settings or [], json=json, quiet=quiet)
