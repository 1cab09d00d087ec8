"""The stage `eval`: every form of the model that the recipe asks for, on every data set, in one table."""

from collections import Counter

from tclip.data.eval_sets import EvalSet, open_eval
from tclip.errors import DataError
from tclip.evaluate.measure import Settings, measured
from tclip.evaluate.record import Record
from tclip.evaluate.subject import subjects_of
from tclip.evaluate.table import comparison
from tclip.progress import Progress
from tclip.run import Run, write_json


def evaluate_run(run: Run, progress: Progress) -> None:
    """Measure the forms of a run; records go to RUN/results/FORM/DATASET.json, the table to table.json.

    Without data sets the table tells sizes alone. What was measured before on the same data, and has not
    changed since, is not measured again.

    Raises:
        DataError: a data set is missing or broken, or two have the same name.
        ModelError: the ONNX files are asked for and have not been exported.
    """
    sets = _open_sets(run)
    run.begin("eval")
    settings = Settings(run.recipe.eval.batch_size, run.recipe.eval.limit)
    records: dict[str, dict[str, Record]] = {}
    for subject in subjects_of(run) if sets else ():
        folder = run.results / subject.form
        records[subject.form] = {
            each.name: measured(subject, each, folder / f"{each.name}.json", settings, progress)
            for each in sets
        }
    table = comparison(run, [each.name for each in sets], records)
    write_json(run.results / "table.json", table.to_dict())
    progress.table(table)


def _open_sets(run: Run) -> list[EvalSet]:
    sets = [open_eval(spec, run.recipe.eval.split) for spec in run.recipe.eval.data]
    for eval_set in sets:
        eval_set.check()
    twice = [name for name, count in Counter(found.name for found in sets).items() if count > 1]
    if twice:
        raise DataError(f"eval.data has several folders called {', '.join(twice)}: rename all but one.")
    return sets
