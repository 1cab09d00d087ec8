"""The stage `eval`: every form of the model that the recipe asks for, on every data set, in one table."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tclip.data.eval_sets import EvalSet, open_evals
from tclip.evaluate.measure import Settings, measured
from tclip.evaluate.subject import subjects_of
from tclip.evaluate.table import comparison
from tclip.progress import Progress, Table
from tclip.recipe.local import is_local
from tclip.recipe.schema import Recipe
from tclip.run import Run, write_json


def evaluate_run(run: Run, progress: Progress) -> None:
    """Measure the forms of a run; records go to RUN/results/FORM/DATASET.json, the table to table.json.

    Without data sets the table tells sizes alone. What was measured before on the same data, and has not
    changed since, is not measured again.

    Raises:
        DataError: a data set is missing or broken, or two have the same name.
        ModelError: the ONNX files are asked for and have not been exported.
    """
    sets = open_evals(run.recipe.eval.data, run.recipe.eval.split)
    run.begin("eval")
    table = _measured(run, sets, run.results, progress)
    write_json(run.results / "table.json", table.to_dict())
    progress.table(table)


def evaluate_once(run: Run, progress: Progress) -> None:
    """Measure as `evaluate_run` does, for a look: the run's recipe, stages and table stay as they were.

    Records of whole data sets are kept beside the others; those of a part (eval.limit), which would stand in
    for them, are not.

    Raises:
        DataError, ModelError: as evaluate_run.
    """
    sets = open_evals(run.recipe.eval.data, run.recipe.eval.split)
    with TemporaryDirectory() as passing:
        folder = run.results if run.recipe.eval.limit is None else Path(passing)
        progress.table(_measured(run, sets, folder, progress))


def _measured(run: Run, sets: Sequence[EvalSet], folder: Path, progress: Progress) -> Table:
    """Return the table of what the recipe asks for; records go to FOLDER/FORM/DATASET.json."""
    settings = Settings(run.recipe.eval.batch_size, run.recipe.eval.limit)
    records = {
        subject.form: {
            each.name: measured(
                subject, each, folder / subject.form / f"{each.name}.json", settings, progress
            )
            for each in sets
        }
        for subject in (subjects_of(run) if sets else ())
    }
    return comparison(run, [each.name for each in sets], records)


def check_sets(recipe: Recipe) -> None:
    """Look at the evaluation sets of a recipe that are folders here, before any stage is run.

    Raises:
        DataError: one has another layout or lacks the split, or two have the same name.
    """
    open_evals([spec for spec in recipe.eval.data if is_local(spec)], recipe.eval.split)
