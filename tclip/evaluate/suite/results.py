"""The records of one model on disk, each with what became of every sample."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tclip.data.sample import digest
from tclip.errors import DataError
from tclip.evaluate.measure import measurement_id, outcome_path
from tclip.evaluate.outcomes import Outcome, read_outcome
from tclip.evaluate.record import Record, read_record
from tclip.evaluate.subject import subject_of
from tclip.evaluate.suite.tasks import key_of
from tclip.run import is_run


@dataclass(frozen=True)
class Results:
    """What one model scored.

    Attributes:
        label: what it is called in tables.
        folder: where the records lie.
        records: by data set, as it is called in tables.
        left_out: why a record that lies there is not among them, by the name of its file without ".json".
    """

    label: str
    folder: Path
    records: Mapping[str, Record]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def lacks(self, name: str) -> str:
        """Return why there is no record of a data set, or "" if there is one."""
        if name in self.records:
            return ""
        left_out = self.left_out.get(record_path(self.folder, name).stem)
        return left_out or f"{self.label} was not measured on it"

    def outcome(self, name: str) -> Outcome:
        """Return what became of every sample of a data set.

        Raises:
            DataError: the file is missing, damaged, or of another measurement.
        """
        record = self.records[name]
        path = outcome_path(record_path(self.folder, record.dataset))
        return read_outcome(path, measurement_id(record))

    def named_as_in(self, other: "Results") -> "Results":
        """Return the same results, tasks called as the other calls them: vtab/cifar10 is cifar10 there."""
        theirs = {key_of(name): name for name in other.records if name not in self.records}
        named = dict[str, Record]()
        for name, record in self.records.items():
            named[name if name in other.records else theirs.pop(key_of(name), name)] = record
        left_out = {
            record_path(self.folder, theirs.get(key_of(file), file)).stem: why
            for file, why in self.left_out.items()
        }
        return replace(self, records=named, left_out=left_out)


def record_path(folder: Path, name: str) -> Path:
    """Return where the record on a data set lies: vtab/cifar10 is FOLDER/vtab-cifar10.json."""
    return folder / f"{name.replace('/', '-')}.json"


def default_results(model: str) -> Path:
    """Return where records of a model that is no run go: results/ with its name, "--" for each "/".

    No two models have one folder: what cannot be told from the name alone has a hash behind it.
    """
    plain = model.removeprefix("./").rstrip("/")
    name = re.sub(r"[^\w.-]+", "-", plain.replace("/", "--")).strip("-.")
    if not name or name.replace("--", "/") != plain:
        name = f"{name}-{digest(plain)[:8]}".strip("-")
    return Path("results") / name


def find_results(spec: str) -> Results:
    """Return what was measured: in a folder of records, of a run's packed model, or of any other model.

    All is of one model: of the weights that a run has now; elsewhere of those of the newest record. Other
    records, and damaged ones, are left out.

    Args:
        spec: a folder with records, a run, or a model that was measured from this folder without --out.

    Raises:
        DataError: nothing was measured.
        ModelError: the run's packed model is damaged.
    """
    folder = Path(spec)
    places = (folder / "results" / "packed",) if is_run(folder) else (folder, default_results(spec))
    for place in places:
        paths = [path for path in sorted(place.glob("*.json")) if outcome_path(path).is_file()]
        if paths:
            return _of_one_model(spec, place, paths)
    raise DataError(
        f"There are no results of {spec} (looked into {' and '.join(map(str, places))}): measure it with "
        f"`tclip eval {spec} --suite NAME`, or name a folder with records, such as RUN/results/original."
    )


def _of_one_model(spec: str, place: Path, paths: Sequence[Path]) -> Results:
    found, left_out = dict[Path, Record](), dict[str, str]()
    for path in paths:
        try:
            found[path] = read_record(path)
        except DataError as error:
            left_out[path.stem] = str(error)
    packed = Path(spec) / "packed"
    if is_run(Path(spec)) and packed.is_dir():
        weights = subject_of(str(packed)).weights
        why = f"{spec} was measured on it with other weights than it has now: measure it again"
    else:
        newest = max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
        weights = found[newest].weights if newest else ""
        why = f"its record in {place} is of other weights than the newest there: measure it again"
    left_out |= {path.stem: why for path, record in found.items() if record.weights != weights}
    records = {record.dataset: record for record in found.values() if record.weights == weights}
    return Results(spec, place, records, left_out)
