"""The result of one measurement, in the shape of CLIP_benchmark's own JSON files."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tclip.errors import DataError
from tclip.run import write_whole


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one model scored on one data set.

    Attributes:
        dataset: name of the data set.
        model: what was measured.
        pretrained: where its weights are from, or their form (original, packed, onnx).
        task: zeroshot_classification or zeroshot_retrieval.
        metrics: acc1, acc5, mean_per_class_recall, and expected_calibration_error where the logit scale is
            known; mean_average_precision; or image_ and text_retrieval_recall@1, @5, @10; in [0, 1].
        language: of the texts.
        num_samples: images that were measured on.
        seconds: it took.
        throughput: images_per_second, reading and decoding included, and texts_per_second where texts were
            embedded.
        chance: what guessing scores on average in acc1, mean_average_precision or a recall@1.
        weights: identifies the weights that were measured; "" if it is not known.
        data: identifies the data that they were measured on.
        limit: no more than the first so many images were looked at.
        samples: identifies the answers by the keys of their images, wherever they lay.
        images: identifies the images by their bytes; "" in older records.
        prompts: identifies class names and templates; "" where there are none, and in older records.
        embedding_version: of tclip's way to embed, see `encoder.EMBEDDING_VERSION`.
    """

    dataset: str
    model: str
    pretrained: str
    task: str
    metrics: dict[str, float]
    language: str = "en"
    num_samples: int
    seconds: float
    throughput: dict[str, float] = field(default_factory=dict)
    chance: float | None = None
    weights: str = ""
    data: str = ""
    limit: int | None = None
    samples: str = ""
    images: str = ""
    prompts: str = ""
    embedding_version: int = 1


def other_data(one: Record, other: Record) -> str:
    """Return what two measurements on data sets of one name were on instead of the same data, or "".

    What an older record does not tell counts as the same.
    """
    if one.samples != other.samples:
        return "other samples"
    if one.images and other.images and one.images != other.images:
        return "other pictures"
    if one.prompts and other.prompts and one.prompts != other.prompts:
        return "other class names or templates"
    return ""


def write_record(record: Record, path: Path) -> None:
    """Write a record as JSON; a reader sees the old file or the new one, never half of it."""
    write_whole(path, (json.dumps(asdict(record), indent=2, allow_nan=False) + "\n").encode())


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        DataError: the file is missing or no record.
    """
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no result of tclip eval ({error}): measure again.") from error
