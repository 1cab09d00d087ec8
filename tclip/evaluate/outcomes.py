"""What became of every sample, kept beside the record: two models can then be compared sample by sample.

An outcome is a few arrays by name; which kind it is shows in the names. A unit is what a bootstrap draws: a
sample, or an image with its texts. Scores are functions of units and of how often each is drawn, so that a
record's own metrics are those of drawing each unit once.

R resamples, N units, U numbers of a unit.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tclip.errors import DataError, first_line
from tclip.evaluate.multilabel import multilabel_scores, multilabel_units
from tclip.evaluate.retrieval import retrieval_scores, retrieval_units
from tclip.evaluate.zeroshot import classification_scores, classification_units
from tclip.run import write_whole

Outcome = dict[str, np.ndarray]
Scores = dict[str, np.ndarray]
MARK = "measurement"  # in the metadata of a file: which record it belongs to


class Kind(NamedTuple):
    """How outcomes with such arrays are scored."""

    arrays: frozenset[str]
    units: Callable[[Outcome], np.ndarray]  # [N, U]
    scores: Callable[[np.ndarray, np.ndarray], Scores]  # of units [N, U] and weights [R, N]: R of each


KINDS = (
    Kind(frozenset({"label", "rank"}), classification_units, classification_scores),
    Kind(frozenset({"target", "place"}), multilabel_units, multilabel_scores),
    Kind(frozenset({"owner", "image_rank", "text_rank"}), retrieval_units, retrieval_scores),
)


def kind_of(outcome: Outcome) -> Kind:
    """Return the kind of an outcome.

    Raises:
        DataError: it is none.
    """
    for kind in KINDS:
        if kind.arrays == outcome.keys():
            return kind
    raise DataError(f"There is no measurement with {', '.join(sorted(outcome)) or 'nothing'}: measure again.")


def metrics_of(outcome: Outcome) -> dict[str, float]:
    """Return the metrics of all units as they are, each in [0, 1]."""
    kind = kind_of(outcome)
    units = kind.units(outcome)
    once = np.ones((1, len(units)), dtype=np.int64)
    return {name: float(score_R[0]) for name, score_R in kind.scores(units, once).items()}


def write_outcome(outcome: Outcome, path: Path, measurement: str) -> None:
    """Write an outcome as safetensors, each array in the smallest unsigned integers; all or nothing.

    Args:
        outcome: what became of every sample.
        path: the file.
        measurement: identifies the record that it belongs to.
    """
    from safetensors.numpy import save

    small = {
        name: np.ascontiguousarray(array, np.min_scalar_type(array.max())) for name, array in outcome.items()
    }
    write_whole(path, save(small, {MARK: measurement}))


def read_outcome(path: Path, measurement: str) -> Outcome:
    """Read the outcome of a measurement.

    Raises:
        DataError: the file is missing, damaged, or of another measurement.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            if (file.metadata() or {}).get(MARK) != measurement:
                raise DataError(
                    f"{path} belongs to another measurement than the record beside it: measure again."
                )
            return {name: file.get_tensor(name).astype(np.int64) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read ({first_line(error)}): measure again.") from error
