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
# the images that the published scores are of
NUM_IMAGES = {"imagenet1k": 50_000, "flickr30k": 1_000, "mscoco_captions": 5_000}


def public_models() -> list[dict[str, str]]:
    """Return the stored rows: model, params_m, gflops, average_38 and COLUMNS, in percent."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def public_table(records: Mapping[str, Mapping[str, Record]]) -> Table | None:
    """Return the forms that were measured above public models; None if they have no task in common.

    What was not measured on all images of a task is left out: see `partly_measured`.

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


def partly_measured(records: Mapping[str, Mapping[str, Record]]) -> list[str]:
    """Return the tasks of public models that were measured on other images than theirs, in words.

    Args:
        records: by form, then by data set.
    """
    told = [
        f"{name}: measured on {found[name].num_samples:,} images, the published scores are of {num:,}"
        for found in records.values()
        for name, num in NUM_IMAGES.items()
        if name in found and found[name].num_samples != num
    ]
    return list(dict.fromkeys(told))


def _own(records: Mapping[str, Record], dataset: str, metric: str, _: str) -> float | None:
    record = records.get(dataset)
    if record is None or record.num_samples != NUM_IMAGES[dataset]:
        return None
    return percent(record.metrics[metric])
