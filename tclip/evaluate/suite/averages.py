"""What counts of a record in averages, and which tasks tell models from each other."""

import math
from collections.abc import Mapping
from statistics import fmean

from tclip.evaluate.record import Record
from tclip.evaluate.suite.tasks import task_named

STANDARD_ERRORS = 5
MARGIN = 0.1  # of the way from chance to perfect
RECALLS = ("image_retrieval_recall@1", "text_retrieval_recall@1")
MEAN_AVERAGE_PRECISION = "mean_average_precision"


def main_metrics(record: Record) -> tuple[str, ...]:
    """Return the metrics whose mean counts: both recalls@1, the mAP, or what the task names, else acc1."""
    if record.task == "zeroshot_retrieval":
        return RECALLS
    if MEAN_AVERAGE_PRECISION in record.metrics:
        return (MEAN_AVERAGE_PRECISION,)
    task = task_named(record.dataset)
    return (task.main if task else "acc1",)


def main_score(record: Record) -> float:
    """Return what counts of a record in averages, in [0, 1]."""
    return fmean(record.metrics[metric] for metric in main_metrics(record))


def is_above_chance(record: Record) -> bool:
    """Return whether a score is clearly above chance.

    It must be so by five standard errors of guessing, and by a tenth of the way from chance to perfect, which
    keeps out of large data sets what is significant and yet next to nothing. Where each picture shows one
    class this holds for the mean per-class recall too: always answering the commonest class is no skill.
    """
    if record.chance is None:
        return True
    metrics = main_metrics(record)
    judged = {"acc1", "mean_per_class_recall"} if "acc1" in record.metrics else set(metrics)
    error = math.sqrt(record.chance * (1 - record.chance) / record.num_samples)
    needed = record.chance + max(STANDARD_ERRORS * error, MARGIN * (1 - record.chance))
    return all(record.metrics[metric] >= needed for metric in judged)


def is_discriminative(name: str, originals: Mapping[str, Record]) -> bool:
    """Return whether a task tells models from each other: the original scores clearly above chance.

    Where the original was not measured, the stored list of tasks decides; a data set of the user's counts.

    Args:
        name: of the data set.
        originals: records of the original, by data set.
    """
    if name in originals:
        return is_above_chance(originals[name])
    task = task_named(name)
    return task is None or not task.at_chance
