"""The table of a suite: a row a score, a column a form, averages at the end."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from tclip.evaluate.record import Record
from tclip.evaluate.retrieval import KS
from tclip.evaluate.suite.averages import is_discriminative, main_metrics, main_score
from tclip.evaluate.table import SHOWN
from tclip.progress import Table

CALIBRATION_ERROR = "expected_calibration_error"
LABELS = {metric: label for label, metric in SHOWN.items()} | {
    "acc5": "top-5",
    "mean_per_class_recall": "mean recall of the classes",
    CALIBRATION_ERROR: "calibration error",
    **{f"image_retrieval_recall@{k}": f"text to image R@{k}" for k in KS},
    **{f"text_retrieval_recall@{k}": f"image to text R@{k}" for k in KS},
}
Records = Mapping[str, Mapping[str, Record]]  # by form, then by data set
Row = list[str | float | None]


def suite_table(model: str, records: Records, missing: Sequence[str]) -> Table:
    """Return the main scores of every data set, their averages, and the throughput.

    Averages are over what was measured; the second leaves out tasks at chance (see is_discriminative).

    Args:
        model: for the title.
        records: by form, then by data set; every form has the same data sets, at least one, and one limit.
        missing: data sets that could not be had.
    """
    forms, some = list(records), next(iter(records.values()))
    rows = [row for name in some for row in _scores(name, [records[form][name] for form in forms])]
    rows += [[name, "not measured", *[None] * len(forms)] for name in missing]
    telling = [name for name in some if is_discriminative(name, records.get("original", {}))]
    for what, names in ((f"average of {len(some)}", list(some)), (f"{len(telling)} discriminative", telling)):
        rows += _average(what, "main score, %", records, names, main_score)
    sure = [name for name, record in some.items() if CALIBRATION_ERROR in record.metrics]
    rows += _average(f"average of {len(sure)}", "calibration error, %", records, sure, _calibration_error)
    rows.append(["all", "images a second", *(_images_per_second(records[form]) for form in forms)])
    title = f"{model}: {len(some)} of {len(some) + len(missing)} data sets"
    limits = [record.limit for record in some.values() if record.limit is not None]
    if limits:
        title += f", no more than {max(limits):,} images of each"
    return Table(title, ["data set", "metric", *forms], rows)


def percent(share: float) -> float:
    """Return a share of 1 in percent, with one decimal."""
    return round(100 * share, 1)


def _scores(name: str, found: Sequence[Record]) -> list[Row]:
    return [
        [name, f"{LABELS[metric]}, %", *(percent(record.metrics[metric]) for record in found)]
        for metric in main_metrics(found[0])
    ]


def _average(
    what: str, metric: str, records: Records, names: Sequence[str], score: Callable[[Record], float]
) -> list[Row]:
    if not names:
        return []
    means = [percent(fmean(score(of_form[name]) for name in names)) for of_form in records.values()]
    return [[what, metric, *means]]


def _calibration_error(record: Record) -> float:
    return record.metrics[CALIBRATION_ERROR]


def _images_per_second(records: Mapping[str, Record]) -> float:
    seconds = sum(record.num_samples / record.throughput["images_per_second"] for record in records.values())
    return round(sum(record.num_samples for record in records.values()) / seconds, 1)
