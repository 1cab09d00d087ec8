"""Measure models on many data sets: what was measured before is kept, what cannot be had is named last."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tclip.errors import DataError, listed
from tclip.evaluate.measure import Settings, measured
from tclip.evaluate.record import Record, read_record
from tclip.evaluate.subject import Subject, subject_of, subjects_of
from tclip.evaluate.suite.compare import comparison
from tclip.evaluate.suite.public import partly_measured, public_table
from tclip.evaluate.suite.results import Results, default_results, record_path
from tclip.evaluate.suite.sources import Source, find_sources
from tclip.evaluate.suite.table import suite_table
from tclip.progress import Progress
from tclip.run import is_run, open_run

DEFAULTS = Settings()


def evaluate_suite(
    model: str,
    suites: Sequence[str],
    data: Sequence[str],
    progress: Progress,
    *,
    root: Path | None = None,
    download: bool = False,
    forms: Sequence[str] = (),
    out: Path | None = None,
    revision: str | None = None,
    settings: Settings = DEFAULTS,
) -> None:
    """Measure a model on suites, tasks and folders; records go to OUT, of a run to OUT/FORM.

    A record is written when its data set ends, with what became of every sample beside it, so that the same
    call goes on where it was interrupted. A data set that cannot be had is passed over and named at the end.
    Shown last are scores and averages; before them public models, and by how much a run's forms differ from
    its original.

    Args:
        model: a run folder, a packed folder, or an ordinary CLIP: folder, Hub id or alias.
        suites: names of suites, keys of tasks, and folders in CLIP_benchmark's layout.
        data: folders in CLIP_benchmark's layout, or hf://owner/name.
        progress: who is told.
        root: where data of tasks may lie; those that do not are streamed from the Hub.
        download: keep those below root instead, so that each is fetched once, however often it is read.
        forms: of a run; by default what its recipe names, else the original and what is shipped.
        out: for the records; by default RUN/results, or results/MODEL for what is no run.
        revision: branch, tag or commit of a model on the Hub.
        settings: how much is looked at.

    Raises:
        DataError: a name or folder that does not exist, a record of more pictures that a limit would replace,
            or no data set of all could be had.
        ModelError: the model cannot be found or loaded, or its embeddings are not finite.
    """
    sources = find_sources(suites, data, root, download=download)
    folders = _folders(model, forms, out, revision)
    if settings.limit is not None:
        places = [record_path(folder, source.name) for _, folder in folders for source in sources]
        _refuse_to_replace(places, settings.limit)
    records, missing = _measure(folders, sources, settings, progress)
    if len(missing) == len(sources):
        raise DataError(f"None of the data could be had:{listed(missing.values())}")
    results = [Results(subject.form, folder, records[subject.form]) for subject, folder in folders]
    _show(model, results, list(missing), progress)
    for note in _reasons(missing, {source.name: source.spec for source in sources}):
        progress.note(f"not measured: {note}")


def _refuse_to_replace(places: Sequence[Path], limit: int) -> None:
    """Raise DataError where a look at `limit` pictures would replace a record of more."""
    fuller = [str(path) for path in places if path.is_file() and _is_fuller(path, limit)]
    if fuller:
        raise DataError(
            f"--limit {limit} would replace records of more pictures: give another --out, or leave it out:"
            f"{listed(fuller)}"
        )


def _is_fuller(path: Path, limit: int) -> bool:
    try:
        return read_record(path).num_samples > limit
    except DataError:  # damaged: it is made again in any case
        return False


def _reasons(missing: Mapping[str, str], specs: Mapping[str, str]) -> list[str]:
    """Return why there are no records, what differs in the address alone told once."""
    alike: dict[str, list[str]] = {}
    for name, reason in missing.items():
        alike.setdefault(reason.replace(specs[name].removeprefix("hf://"), "..."), []).append(name)
    return [
        f"{', '.join(names)}: {missing[names[0]]}{' The others alike.' if len(names) > 1 else ''}"
        for names in alike.values()
    ]


def _folders(
    model: str, forms: Sequence[str], out: Path | None, revision: str | None
) -> list[tuple[Subject, Path]]:
    """Return what is measured, each with the folder for its records."""
    if not is_run(Path(model)):
        return [(subject_of(model, revision), out or default_results(model))]
    run = open_run(Path(model))
    return [(subject, (out or run.results) / subject.form) for subject in subjects_of(run, forms)]


def _measure(
    folders: Sequence[tuple[Subject, Path]], sources: Sequence[Source], settings: Settings, progress: Progress
) -> tuple[dict[str, dict[str, Record]], dict[str, str]]:
    """Return the records by form and data set, and why there are none of the other data sets."""
    records: dict[str, dict[str, Record]] = {subject.form: {} for subject, _ in folders}
    missing: dict[str, str] = {}
    for number, source in enumerate(sources, 1):
        place = f" ({number} of {len(sources)})"
        try:
            eval_set = source.open(progress)
            found = {
                subject.form: measured(
                    subject, eval_set, record_path(folder, source.name), settings, progress, place
                )
                for subject, folder in folders
            }
        except DataError as error:
            missing[source.name] = str(error)
            continue
        for form, record in found.items():
            records[form][source.name] = record
    return records, missing


def _show(model: str, results: Sequence[Results], missing: Sequence[str], progress: Progress) -> None:
    records: Mapping[str, Mapping[str, Record]] = {each.label: each.records for each in results}
    for each in partly_measured(records):
        progress.note(f"not beside public models: {each}")
    if table := public_table(records):
        progress.table(table)
    original = next((each for each in results if each.label == "original"), None)
    for other in results:
        if original and other is not original:
            progress.table(comparison(original, other, progress))
    progress.table(suite_table(model, records, missing))
