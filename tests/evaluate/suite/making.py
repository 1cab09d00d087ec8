"""Records and what became of every sample, as if a model had been measured."""

from pathlib import Path

import numpy as np

from tclip.evaluate.measure import measurement_id, outcome_path
from tclip.evaluate.outcomes import Outcome, metrics_of, write_outcome
from tclip.evaluate.record import Record, write_record
from tclip.evaluate.suite.results import record_path


def record(dataset: str = "pets", task: str = "zeroshot_classification", **changes) -> Record:
    values = {
        "model": "m",
        "pretrained": "packed",
        "metrics": {"acc1": 0.5, "mean_per_class_recall": 0.5},
        "num_samples": 1000,
        "seconds": 1.0,
        "throughput": {"images_per_second": 10.0},
        "chance": 0.1,
    }
    return Record(dataset=dataset, task=task, **{**values, **changes})


def classified(right: float, num: int = 400, num_classes: int = 4, seed: int = 0) -> Outcome:
    """About so large a share of right answers; the others are ranked second."""
    generator = np.random.default_rng(seed)
    wrong = (generator.random(num) >= right).astype(np.int64)
    return {"label": np.arange(num) % num_classes, "rank": wrong}


def retrieved(right: float, num: int = 200, texts: int = 2, seed: int = 0) -> Outcome:
    generator = np.random.default_rng(seed)
    return {
        "owner": np.repeat(np.arange(num), texts),
        "image_rank": (generator.random(num * texts) >= right).astype(np.int64),
        "text_rank": (generator.random(num) >= right).astype(np.int64),
    }


def keep(folder: Path, dataset: str, outcome: Outcome, **changes) -> Record:
    """Write a record with the metrics of an outcome, and the outcome beside it."""
    task = "zeroshot_retrieval" if "owner" in outcome else "zeroshot_classification"
    num_samples = len(outcome["text_rank" if "owner" in outcome else "label"])
    values = {"metrics": metrics_of(outcome), "num_samples": num_samples, "samples": dataset, **changes}
    made = record(dataset, task, **values)
    path = record_path(folder, dataset)
    write_outcome(outcome, outcome_path(path), measurement_id(made))
    write_record(made, path)
    return made
