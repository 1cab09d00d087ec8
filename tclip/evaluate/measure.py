"""One measurement on disk: made once, and again only when the weights, the data or the limit have changed."""

from dataclasses import dataclass
from pathlib import Path

from tclip.data.eval_sets import EvalSet
from tclip.errors import DataError
from tclip.evaluate.encoder import EMBEDDING_VERSION
from tclip.evaluate.outcomes import read_outcome, write_outcome
from tclip.evaluate.record import Record, read_record, write_record
from tclip.evaluate.run import evaluate
from tclip.evaluate.subject import Subject
from tclip.progress import Progress
from tclip.run import fingerprint


@dataclass(frozen=True)
class Settings:
    """How much is looked at: `batch_size` images or texts at a time, the first `limit` images of a set."""

    batch_size: int = 64
    limit: int | None = None


def measured(
    subject: Subject, eval_set: EvalSet, path: Path, settings: Settings, progress: Progress, what: str = ""
) -> Record:
    """Return the record at a path if it is whole and of these weights and data, else measure and write it.

    What became of every sample lies beside it, as safetensors.

    Args:
        subject: what is measured.
        eval_set: what it is measured on.
        path: the record's .json file.
        settings: how much is looked at.
        progress: who is told.
        what: said of the set behind its name.

    Raises:
        DataError: the set is empty or a sample of it is broken.
        ModelError: the model cannot be loaded, or its embeddings are not finite.
    """
    title = f"eval {subject.form} on {eval_set.name}{what}"
    try:
        kept = _kept(path)
    except DataError:
        progress.note(f"{title}: measured again, since {path} or the file beside it is damaged")
        kept = None
    now = (subject.weights, eval_set.fingerprint(), settings.limit, EMBEDDING_VERSION)
    if kept and (kept.weights, kept.data, kept.limit, kept.embedding_version) == now:
        progress.note(f"{title}: measured before")
        return kept
    encoder = subject.encoder
    progress.begin(title, settings.limit)
    record, outcome = evaluate(
        encoder,
        eval_set,
        model=subject.model,
        pretrained=subject.form,
        weights=subject.weights,
        batch_size=settings.batch_size,
        limit=settings.limit,
        progress=lambda done: progress.update(done),
    )
    write_outcome(outcome, outcome_path(path), measurement_id(record))
    write_record(record, path)
    return record


def outcome_path(path: Path) -> Path:
    """Return where what became of every sample lies, for a record's path."""
    return path.with_suffix(".safetensors")


def measurement_id(record: Record) -> str:
    """Return what a record and its outcome have in common, and no other measurement has."""
    told_since = [part for part in (record.images, record.prompts) if part]  # older records tell neither
    return fingerprint(record.weights, record.samples, *told_since)


def _kept(path: Path) -> Record | None:
    """Return an earlier record, if it is there with what became of every sample.

    Raises:
        DataError: one of the two files is damaged, or they are not of one measurement.
    """
    if not (path.is_file() and outcome_path(path).is_file()):
        return None
    record = read_record(path)
    read_outcome(outcome_path(path), measurement_id(record))
    return record
