"""The stage `eval`: every form of the model that the recipe asks for, on every data set, in one table."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tclip.data.eval_sets import EvalSet, open_eval
from tclip.errors import DataError, ModelError
from tclip.evaluate.encoder import ClipEncoder, Encoder
from tclip.evaluate.record import Record, write_record
from tclip.evaluate.run import evaluate
from tclip.evaluate.table import comparison, is_exported
from tclip.progress import Progress
from tclip.run import Run, write_json


def evaluate_run(run: Run, progress: Progress) -> None:
    """Measure the forms of a run; records go to RUN/results/FORM/DATASET.json, the table to table.json.

    Without data sets the table tells sizes alone.

    Raises:
        DataError: a data set is missing or broken, or two have the same name.
        ModelError: the ONNX files are asked for and have not been exported.
    """
    sets = _open_sets(run)
    records: dict[str, dict[str, Record]] = {}
    for form in forms_of(run) if sets else ():
        encoder = FORMS[form](run)
        records[form] = {found.name: _measure(run, form, encoder, found, progress) for found in sets}
    table = comparison(run, sets, records)
    write_json(run.results / "table.json", table.to_dict())
    progress.table(table)


def forms_of(run: Run) -> Sequence[str]:
    """Return what is to be measured: what the recipe names, else all that is shipped and where it came from.

    Raises:
        ModelError: the recipe names the ONNX files, and they have not been exported.
    """
    named = run.recipe.eval.forms
    if named is None:
        return ("original", "packed", "onnx") if is_exported(run) else ("original", "packed")
    if "onnx" in named and not is_exported(run):
        raise ModelError(f"{run.folder} has no ONNX files: write them with `tclip export onnx {run.folder}`.")
    return named


def _open_sets(run: Run) -> list[EvalSet]:
    sets = [open_eval(spec, run.recipe.eval.split) for spec in run.recipe.eval.data]
    for eval_set in sets:
        eval_set.check()
    twice = [name for name, count in Counter(found.name for found in sets).items() if count > 1]
    if twice:
        raise DataError(f"eval.data has several folders called {', '.join(twice)}: rename all but one.")
    return sets


def _measure(run: Run, form: str, encoder: Encoder, eval_set: EvalSet, progress: Progress) -> Record:
    progress.begin(f"eval {form} on {eval_set.name}", run.recipe.eval.limit)
    record = evaluate(
        encoder,
        eval_set,
        model=str(run.recipe.model.id),
        pretrained=form,
        batch_size=run.recipe.eval.batch_size,
        limit=run.recipe.eval.limit,
        progress=lambda done: progress.update(done),
    )
    write_record(record, run.results / form / f"{eval_set.name}.json")
    return record


def _original(run: Run) -> Encoder:
    from tclip.models.load import load_dense

    return ClipEncoder(load_dense(str(run.recipe.model.id), run.recipe.model.revision))


def _packed(folder: Path) -> Encoder:
    from tclip.packed.load import load_packed

    return ClipEncoder(load_packed(folder))


def _onnx(run: Run) -> Encoder:
    from tclip.export.session import OnnxClip

    return OnnxClip(run.onnx)


FORMS: dict[str, Callable[[Run], Encoder]] = {
    "original": _original,
    "trained": lambda run: _packed(run.ternary),
    "packed": lambda run: _packed(run.packed),
    "onnx": _onnx,
}
