"""The stage `eval`: every form of the model that the recipe asks for, on every data set, in one table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tclip.data.eval_sets import EvalSet, open_eval
from tclip.evaluate.encoder import ClipEncoder, Encoder
from tclip.evaluate.record import Record, write_record
from tclip.evaluate.run import evaluate
from tclip.progress import Progress, Table
from tclip.run import Run, write_json

# What a table shows of a task; the records hold every metric.
SHOWN = {
    "zeroshot_classification": {"top-1": "acc1"},
    "zeroshot_retrieval": {
        "text to image R@1": "image_retrieval_recall@1",
        "image to text R@1": "text_retrieval_recall@1",
    },
}


def evaluate_run(run: Run, progress: Progress) -> None:
    """Measure the forms of a run; records go to RUN/results/FORM/DATASET.json, the table to table.json.

    Raises:
        DataError: a data set is missing or broken.
    """
    settings = run.recipe.eval
    sets = [open_eval(spec, settings.split) for spec in settings.data]
    for eval_set in sets:
        eval_set.check()
    records: dict[str, dict[str, Record]] = {}
    for form in settings.forms if sets else ():
        encoder = FORMS[form](run)
        records[form] = {found.name: _measure(run, form, encoder, found, progress) for found in sets}
    table = compare(sets, records)
    sizes = Table("Size", ["what", *SIZE_COLUMNS], size_rows(run))
    for found in (table, sizes):
        progress.table(found)
    write_json(run.results / "table.json", [table.to_dict(), sizes.to_dict()])


def compare(sets: list[EvalSet], records: dict[str, dict[str, Record]]) -> Table:
    """Return a row a data set and metric, a column a form; shares in percent."""
    rows = []
    for eval_set in sets:
        for label, metric in SHOWN[eval_set.task].items():
            scores = [100 * found[eval_set.name].metrics[metric] for found in records.values()]
            rows.append([f"{eval_set.name} {label}", *(round(score, 1) for score in scores)])
    return Table("Accuracy, %", ["data set", *records], rows)


SIZE_COLUMNS = ["original", "ternary"]


def size_rows(run: Run) -> list[list[Any]]:
    """Return real bytes of real files, and what the ternary weights come to."""
    from tclip.packed.size import measure

    return measure(run.packed).comparison()


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
