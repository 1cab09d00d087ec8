"""The stages of a run that do not go with the rest: out of date, or not finished, though they left files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tclip.report.page import Section
from tclip.run import Run

TITLE = "Out of date or unfinished"
WHY = {
    "stale": "made with other settings than the recipe's, or by an older tclip",
    "missing": "not finished, or made before an earlier stage was run again",
}


@dataclass(frozen=True)
class Left:
    """What a stage left in a run folder, and the command that makes it anew."""

    stage: str
    where: str
    what: str
    command: str


def out_of_date(run: Run, states: Mapping[str, str]) -> list[str]:
    """Return a sentence for each stage that does not go with the rest, with what to run (RUN is the folder).

    Args:
        run: the run.
        states: "finished", "stale" or "missing" by stage, as tclip.pipeline.state_of says.
    """
    return [
        f"{left.where}, {left.what}: {WHY[states[left.stage]]}. Run {left.command}."
        for left in _left(run, states)
        if states[left.stage] in WHY
    ]


def state_section(found: Sequence[str]) -> Section:
    """Return a section that names what is out of date."""
    text = (
        "The page shows what is there, but not all of it is of one model. What is wrong, and what to run to "
        "mend it, in this order (RUN is the run folder):"
    )
    return Section("state", TITLE, (text, *found))


def _left(run: Run, states: Mapping[str, str]) -> Iterator[Left]:
    if run.calibrated.is_dir():
        yield Left("calibrate", "RUN/calibrated", "the calibrated model", "tclip calibrate RUN")
    if run.recipe.train and (run.steps.is_dir() or run.trained.is_dir()):
        # checkpoints of other settings are refused
        resume = " --resume" if run.steps.is_dir() and states["train"] == "missing" else ""
        yield Left("train", "RUN/trained", "the trained model", f"tclip train RUN{resume}")
    if run.packed.is_dir():
        yield Left("pack", "RUN/packed", "the packed model", "tclip pack RUN")
    if run.recipe.export.onnx and run.onnx.is_dir():
        yield Left("export", "RUN/onnx", "the ONNX files", "tclip export onnx RUN")
    # tclip eval RUN --suite leaves records too, and is no stage
    if run.recipe.eval.data and any(run.results.glob("*/*.json")):
        yield Left("eval", "RUN/results", "the scores", "tclip eval RUN")
