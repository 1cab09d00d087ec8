"""What public CLIPs score on three of the tasks, as they were published."""

import csv
from collections.abc import Mapping
from pathlib import Path

from tclip.evaluate.record import Record
from tclip.evaluate.suite.table import percent
from tclip.progress import Table

FILE = Path(__file__).parent / "public_models.csv"
# column of the file: data set and metric of a record, and the column's name for people
COLUMNS = {
    "imagenet1k": ("imagenet1k", "acc1", "imagenet1k top-1, %"),
    "flickr30k_image": ("flickr30k", "image_retrieval_recall@1", "flickr30k text to image R@1, %"),
    "flickr30k_text": ("flickr30k", "text_retrieval_recall@1", "flickr30k image to text R@1, %"),
    "mscoco_image": ("mscoco_captions", "image_retrieval_recall@1", "mscoco text to image R@1, %"),
    "mscoco_text": ("mscoco_captions", "text_retrieval_recall@1", "mscoco image to text R@1, %"),
}


def public_models() -> list[dict[str, str]]:
    """Return the stored rows: model, params_m, gflops, average_38 and COLUMNS, in percent."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def public_table(records: Mapping[str, Mapping[str, Record]]) -> Table | None:
    """Return the forms that were measured above public models; None if they have no task in common.

    Args:
        records: by form, then by data set.
    """
    own = {form: [_own(found, *column) for column in COLUMNS.values()] for form, found in records.items()}
    if not any(score is not None for scores in own.values() for score in scores):
        return None
    rows = [[form, None, *scores, None] for form, scores in own.items()]
    for model in public_models():
        scores = [float(model[column]) for column in COLUMNS]
        rows.append([model["model"], float(model["params_m"]), *scores, float(model["average_38"])])
    names = [name for _, _, name in COLUMNS.values()]
    return Table(
        "Beside public models, as open_clip publishes them",
        ["model", "million weights", *names, "DataComp's 38 tasks, %"],
        rows,
    )


def _own(records: Mapping[str, Record], dataset: str, metric: str, _: str) -> float | None:
    return percent(records[dataset].metrics[metric]) if dataset in records else None
