"""How far a run is: whether it may be published at all, and what of it is of the packed model."""

from dataclasses import dataclass
from pathlib import Path

from tclip.errors import UserError, listed
from tclip.packed.format import MODEL_FILE
from tclip.pipeline import check_ready, state_of
from tclip.run import Run

# the folders of exported forms, and the files of theirs that are published
FORMS = {"onnx": ("*.onnx", "*.json", "*.txt", "*.model"), "gguf": ("*.gguf",)}


@dataclass(frozen=True)
class State:
    """What of a run can be published.

    Attributes:
        forms: the exported forms, of FORMS, that were made of the packed model.
        measured: whether evaluation was run on it.
        left_out: a sentence for each thing that is not published, with the command that would mend it.
    """

    forms: tuple[str, ...]
    measured: bool
    left_out: tuple[str, ...]


def look_at(run: Run) -> State:
    """Return what of a run can be published.

    Raises:
        UserError: the model is not packed, or a stage was run with other settings than the recipe's.
    """
    check_ready(run, "push")
    again = {"export": f"tclip export onnx {run.folder}", "eval": f"tclip eval {run.folder}"}
    stale = [
        f"{stage}: run `{command}`" for stage, command in again.items() if state_of(run, stage) == "stale"
    ]
    if stale:
        raise UserError(
            f"{run.folder} is not ready for push, stages were run with other settings than its recipe's:"
            f"{listed(stale)}"
        )
    held = [form for form in FORMS if any((run.folder / form).glob(FORMS[form][0]))]
    forms = tuple(form for form in held if _is_current(run, form))
    measured = state_of(run, "eval") == "finished" and bool(run.recipe.eval.data)
    left_out = [
        f"{form}/ is left out, it is not of this packed model: `tclip export {form} {run.folder}`"
        for form in held
        if form not in forms
    ]
    if not measured:
        left_out.append(f"the card says that nothing was measured: `tclip eval {run.folder} --data DIR`")
    return State(forms, measured, tuple(left_out))


def is_newer(path: Path, packed: Path) -> bool:
    """Return whether a file is there and was written after a packed folder."""
    return path.is_file() and path.stat().st_mtime >= (packed / MODEL_FILE).stat().st_mtime


def _is_current(run: Run, form: str) -> bool:
    """The ONNX files are a stage's; other forms are written by commands that leave no record."""
    if form == "onnx":
        return run.recipe.export.onnx is not None and state_of(run, "export") == "finished"
    return all(is_newer(path, run.packed) for path in (run.folder / form).glob(FORMS[form][0]))
