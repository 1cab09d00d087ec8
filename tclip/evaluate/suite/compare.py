"""Two models beside each other: what differs, and whether more than chance explains it.

R resamples.
"""

from statistics import fmean

import numpy as np

from tclip.errors import DataError, listed
from tclip.evaluate.record import other_data
from tclip.evaluate.suite.averages import is_discriminative, main_metrics, main_score
from tclip.evaluate.suite.bootstrap import RESAMPLES, interval, paired_differences
from tclip.evaluate.suite.results import Results, find_results, record_path
from tclip.evaluate.suite.table import LABELS, percent
from tclip.progress import Progress, Table

Row = list[str | float | None]
COLUMNS = ("difference", "from", "to", "beyond chance")


def compare_results(one: str, other: str, progress: Progress) -> None:
    """Show by how much the other of two models parts from the one, on all data that both were measured on.

    Args:
        one: a folder with records, a run (its packed model), or another model with results; the original.
        other: the same of what came of it.
        progress: who is told.

    Raises:
        DataError: one has no results, or the two have none of the same samples.
    """
    progress.table(comparison(find_results(one), find_results(other), progress))


def comparison(one: Results, other: Results, progress: Progress) -> Table:
    """Return a row a score and average: both, the difference in points, and its 95 % interval.

    "beyond chance" marks an interval that excludes 0. Data sets that only one has, that were measured on
    other samples, pictures or prompts, or whose records are damaged, are left out and named.

    Raises:
        DataError: none is left.
    """
    other = other.named_as_in(one)
    drawn = _drawn(one, other, progress)
    names, rows, main_R = list(drawn), list[Row](), dict[str, np.ndarray]()
    for name, difference_R in drawn.items():
        metrics = main_metrics(one.records[name])
        for metric in metrics:
            before, after = (each.records[name].metrics[metric] for each in (one, other))
            cells = _cells(before, after, difference_R[metric])
            rows.append([name, f"{LABELS[metric]}, %", *cells])
        main_R[name] = np.mean([difference_R[metric] for metric in metrics], axis=0)
    telling = [name for name in names if is_discriminative(name, one.records)]
    for what, some in ((f"average of {len(names)}", names), (f"{len(telling)} discriminative", telling)):
        if some:
            before, after = (fmean(main_score(each.records[name]) for name in some) for each in (one, other))
            average_R = np.mean([main_R[name] for name in some], axis=0)
            rows.append([what, "main score, %", *_cells(before, after, average_R)])
    title = (
        f"{other.label} compared with {one.label}: 95 % intervals of {RESAMPLES:,} paired bootstrap resamples"
    )
    return Table(title, ["data set", "metric", one.label, other.label, *COLUMNS], rows)


def _drawn(one: Results, other: Results, progress: Progress) -> dict[str, dict[str, np.ndarray]]:
    """Return resampled differences by metric, by data set; what cannot be compared is named."""
    reasons = {name: _hindrance(name, one, other) for name in _names(one, other)}
    names = [name for name, reason in reasons.items() if not reason]
    if names:
        progress.begin(f"compare {other.label} with {one.label}", len(names))
    drawn = dict[str, dict[str, np.ndarray]]()
    for done, name in enumerate(names, 1):
        try:
            drawn[name] = paired_differences(one.outcome(name), other.outcome(name), name)
        except DataError as error:
            reasons[name] = str(error)
        progress.update(done)
    told = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    if not drawn:
        raise DataError(f"{one.label} and {other.label} have no results to compare:{listed(told)}")
    for each in told:
        progress.note(f"not compared: {each}")
    return drawn


def _names(one: Results, other: Results) -> list[str]:
    """Return all data sets; one of which there is no record left is called after its file."""
    names = list(dict.fromkeys([*one.records, *other.records]))
    files = {record_path(one.folder, name).stem for name in names}
    return names + [file for file in {**one.left_out, **other.left_out} if file not in files]


def _hindrance(name: str, one: Results, other: Results) -> str:
    """Return why a data set cannot be compared, or ""."""
    if lacking := one.lacks(name) or other.lacks(name):
        return lacking
    differing = other_data(one.records[name], other.records[name])
    return f"measured on {differing}" if differing else ""


def _cells(before: float, after: float, difference_R: np.ndarray) -> Row:
    low, high = interval(difference_R)
    beyond = "*" if low > 0 or high < 0 else ""
    return [
        percent(before),
        percent(after),
        *(round(100 * x, 2) for x in (after - before, low, high)),
        beyond,
    ]
