"""The records of one model on disk, each with what became of every sample."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tclip.errors import DataError
from tclip.evaluate.measure import measurement_id, outcome_path
from tclip.evaluate.outcomes import Outcome, read_outcome
from tclip.evaluate.record import Record, read_record
from tclip.run import is_run


@dataclass(frozen=True)
class Results:
    """What one model scored.

    Attributes:
        label: what it is called in tables.
        folder: where the records lie.
        records: by data set.
    """

    label: str
    folder: Path
    records: Mapping[str, Record]

    def outcome(self, name: str) -> Outcome:
        """Return what became of every sample of a data set.

        Raises:
            DataError: the file is missing, damaged, or of another measurement.
        """
        path = outcome_path(record_path(self.folder, name))
        return read_outcome(path, measurement_id(self.records[name]))


def record_path(folder: Path, name: str) -> Path:
    """Return where the record on a data set lies: vtab/cifar10 is FOLDER/vtab-cifar10.json."""
    return folder / f"{name.replace('/', '-')}.json"


def default_results(model: str) -> Path:
    """Return where records of a model that is no run go: results/ with its name."""
    return Path("results") / re.sub(r"[^A-Za-z0-9._]+", "-", model).strip("-.")


def find_results(spec: str) -> Results:
    """Return what was measured: in a folder of records, of a run's packed model, or of any other model.

    Args:
        spec: a folder with records, a run, or a model that was measured from this folder without --out.

    Raises:
        DataError: nothing was measured, or a record is damaged.
    """
    folder = Path(spec)
    places = (folder / "results" / "packed",) if is_run(folder) else (folder, default_results(spec))
    for place in places:
        paths = [path for path in sorted(place.glob("*.json")) if outcome_path(path).is_file()]
        if paths:
            records = map(read_record, paths)
            return Results(spec, place, {record.dataset: record for record in records})
    raise DataError(
        f"There are no results of {spec} (looked into {' and '.join(map(str, places))}): measure it with "
        f"`tclip eval {spec} --suite NAME`, or name a folder with records, such as RUN/results/original."
    )
