"""The result of one measurement, in the shape of CLIP_benchmark's own JSON files."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tclip.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one model scored on one data set.

    Attributes:
        dataset: name of the data set.
        model: what was measured.
        pretrained: where its weights are from, or their form (original, packed, onnx).
        task: zeroshot_classification or zeroshot_retrieval.
        metrics: acc1, acc5, mean_per_class_recall; or image_ and text_retrieval_recall@1, @5, @10; in [0, 1].
        language: of the texts.
        num_samples: images that were measured on.
        seconds: it took.
    """

    dataset: str
    model: str
    pretrained: str
    task: str
    metrics: dict[str, float]
    language: str = "en"
    num_samples: int
    seconds: float


def write_record(record: Record, path: Path) -> None:
    """Write a record as JSON; a reader sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(asdict(record), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    beside.replace(path)


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        DataError: the file is missing or no record.
    """
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no result of tclip eval ({error}): measure again.") from error
