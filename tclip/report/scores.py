"""Before and after: what the original and its ternary forms score, from the records of RUN/results.

A record counts only for the weights that the run holds now, and forms are compared on the same images only.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from tclip.errors import FormatError, first_line
from tclip.evaluate.measure import measurement_id, outcome_path
from tclip.evaluate.outcomes import read_outcome
from tclip.evaluate.record import Record, read_record
from tclip.evaluate.subject import FORMS as SUBJECTS
from tclip.evaluate.suite.averages import is_above_chance, main_metrics, main_score
from tclip.evaluate.suite.bootstrap import interval, paired_differences
from tclip.evaluate.suite.results import record_path
from tclip.evaluate.suite.table import LABELS
from tclip.evaluate.table import FORMS
from tclip.run import Run

HOLDS = {"trained": "ternary", "packed": "packed", "onnx": "onnx"}  # the folder of a form
Interval = tuple[float, float]
Group = Mapping[str, Record]  # by form, all of the same images


@dataclass(frozen=True)
class Score:
    """One metric on one data set, of every form that was measured on the very same images.

    Attributes:
        dataset: its name.
        metric: as records name it.
        num_samples: images.
        chance: what guessing scores, in [0, 1]; None where that is not known.
        values: in [0, 1], by form.
        change: the 95 % interval of packed minus original, paired over the images; None where one is missing.
    """

    dataset: str
    metric: str
    num_samples: int
    chance: float | None
    values: Mapping[str, float]
    change: Interval | None = None

    @property
    def label(self) -> str:
        """The metric, for people."""
        return LABELS[self.metric]

    @property
    def kept(self) -> float | None:
        """What the packed model scores, as a share of the original's score; None where one is not known."""
        original, packed = self.values.get("original"), self.values.get("packed")
        return packed / original if original and packed is not None else None


@dataclass(frozen=True)
class Scores:
    """All scores of a run.

    Attributes:
        scores: the metrics that count, of every data set.
        kept: by data set, what the packed model keeps of the original's main score, where the original is
            clearly above chance.
        stale: forms that have records of other weights than the run holds.
        further: all other metrics.
    """

    scores: tuple[Score, ...] = ()
    kept: Mapping[str, float] | None = None
    stale: tuple[str, ...] = ()
    further: tuple[Score, ...] = ()

    @property
    def mean_kept(self) -> float | None:
        """The mean of what is kept, over data sets."""
        return fmean(self.kept.values()) if self.kept else None


def read_scores(run: Run) -> Scores:
    """Read the records of a run that is packed.

    Raises:
        DataError: a record is damaged.
        FormatError: the packed model is damaged.
    """
    groups: dict[tuple[str, ...], dict[str, Record]] = {}
    stale: dict[str, None] = {}
    for form in FORMS:
        records = [read_record(path) for path in sorted((run.results / form).glob("*.json"))]
        weights = _weights(run, form) if records else ""
        for record in records:
            if weights and record.weights == weights:
                same = (record.dataset, record.samples, record.images, record.prompts)
                groups.setdefault(same, {})[form] = record
            else:
                stale[form] = None
    names = list(dict.fromkeys(name for name, *_ in groups))
    ordered = sorted(groups, key=lambda group: names.index(group[0]))
    scores, further = list[Score](), list[Score]()
    for group in (groups[name] for name in ordered):
        main = main_metrics(next(iter(group.values())))
        for score in _scores(run, group):
            (scores if score.metric in main else further).append(score)
    kept = [each for group in groups.values() for each in _kept(group)]
    return Scores(tuple(scores), dict(kept), tuple(stale), tuple(further))


def _weights(run: Run, form: str) -> str:
    """Return what identifies the weights that a run holds, "" if it holds none in this form any more.

    Of the original: those that the packed model was made from, wherever they are now.
    """
    if form in HOLDS:
        return SUBJECTS[form](run).weights if getattr(run, HOLDS[form]).is_dir() else ""
    path = run.packed / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return str(config["quantization_config"]["base_model"]["commit"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path} is damaged ({first_line(error)}): pack the model again.") from error


def _scores(run: Run, group: Group) -> Iterator[Score]:
    first = next(iter(group.values()))
    changes = _changes(run, group)
    for metric in first.metrics:
        values = {form: record.metrics[metric] for form, record in group.items() if metric in record.metrics}
        yield Score(first.dataset, metric, first.num_samples, first.chance, values, changes.get(metric))


def _changes(run: Run, group: Group) -> dict[str, Interval]:
    """Return the intervals by metric; none where what became of the images was not kept for both models."""
    paths = {
        form: outcome_path(record_path(run.results / form, record.dataset)) for form, record in group.items()
    }
    if not all(form in paths and paths[form].is_file() for form in ("original", "packed")):
        return {}
    one, other = (read_outcome(paths[form], measurement_id(group[form])) for form in ("original", "packed"))
    drawn = paired_differences(one, other, group["packed"].dataset)
    return {metric: interval(difference_R) for metric, difference_R in drawn.items()}


def _kept(group: Group) -> Iterator[tuple[str, float]]:
    if "original" in group and "packed" in group and is_above_chance(group["original"]):
        yield group["packed"].dataset, main_score(group["packed"]) / main_score(group["original"])


def forms_of(scores: Sequence[Score]) -> list[str]:
    """Return the forms that have scores, in their order."""
    return [form for form in FORMS if any(form in score.values for score in scores)]
