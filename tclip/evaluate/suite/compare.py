"""Two models beside each other: what differs, and whether more than chance explains it.

R resamples.
"""

from statistics import fmean

import numpy as np

from tclip.errors import DataError, listed
from tclip.evaluate.suite.averages import is_discriminative, main_metrics, main_score
from tclip.evaluate.suite.bootstrap import RESAMPLES, interval, paired_differences
from tclip.evaluate.suite.results import Results, find_results
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

    "beyond chance" marks an interval that excludes 0. Data sets that only one has, or that were measured on
    other samples, are left out and named.

    Raises:
        DataError: none is left.
    """
    names = _comparable(one, other, progress)
    rows, main_R = list[Row](), dict[str, np.ndarray]()
    progress.begin(f"compare {other.label} with {one.label}", len(names))
    for name in names:
        drawn = paired_differences(one.outcome(name), other.outcome(name), name)
        metrics = main_metrics(one.records[name])
        for metric in metrics:
            before, after = (each.records[name].metrics[metric] for each in (one, other))
            cells = _cells(before, after, drawn[metric])
            rows.append([name, f"{LABELS[metric]}, %", *cells])
        main_R[name] = np.mean([drawn[metric] for metric in metrics], axis=0)
        progress.update(len(main_R))
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


def _comparable(one: Results, other: Results, progress: Progress) -> list[str]:
    """Return the data sets that both were measured on; the others are named."""
    names = list(dict.fromkeys([*one.records, *other.records]))
    reasons = {name: _hindrance(name, one, other) for name in names}
    told = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    if len(told) == len(names):
        raise DataError(f"{one.label} and {other.label} have no results to compare:{listed(told)}")
    for each in told:
        progress.note(f"not compared: {each}")
    return [name for name in names if not reasons[name]]


def _hindrance(name: str, one: Results, other: Results) -> str:
    """Return why a data set cannot be compared, or ""."""
    lacking = [each.label for each in (one, other) if name not in each.records]
    if lacking:
        return f"{lacking[0]} was not measured on it"
    return "" if one.records[name].samples == other.records[name].samples else "measured on other samples"


def _cells(before: float, after: float, difference_R: np.ndarray) -> Row:
    low, high = interval(difference_R)
    beyond = "*" if low > 0 or high < 0 else ""
    return [
        percent(before),
        percent(after),
        *(round(100 * x, 2) for x in (after - before, low, high)),
        beyond,
    ]
