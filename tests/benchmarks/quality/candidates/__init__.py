"""What was tried for `best` and is no part of tclip, each as a change to how the stage `train` trains.

python -m tests.benchmarks.quality.explore OUT --clip CLIP --data FOLDER --steps 125 --candidate fast-clip

A candidate that wins becomes a key of the recipe; these lost, or won nothing (docs/results). They stay here
so that anybody can look again: on a larger model, for longer, on other data.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

from tclip.distill import stage
from tclip.distill.loop import Trainer
from tests.benchmarks.quality.candidates.averages import AveragedLatents, OwnTeacher
from tests.benchmarks.quality.candidates.codes import DeadZone, Freezing, Gated
from tests.benchmarks.quality.candidates.contrasts import FastClip, Finishing, HardNegatives
from tests.benchmarks.quality.candidates.tokens import FewerPixels, Merging


@dataclass(frozen=True)
class Candidate:
    """A trainer in the place of tclip's, and the recipe's settings that go with it."""

    trainer: type[Trainer]
    settings: tuple[str, ...] = ()


CANDIDATES = {
    "hard-negatives": Candidate(HardNegatives, ("train.losses.contrastive=0.05",)),
    "fast-clip": Candidate(FastClip, ("train.losses.contrastive=0.05",)),
    "finishing": Candidate(Finishing, ("train.losses.contrastive=0.1",)),
    "dead-zone": Candidate(DeadZone),
    "freezing": Candidate(Freezing),
    "gated": Candidate(Gated),
    "averaged-latents": Candidate(AveragedLatents),
    "own-teacher": Candidate(OwnTeacher),
    "merging": Candidate(Merging),
    "fewer-pixels": Candidate(FewerPixels),
}


@contextmanager
def trying(candidate: Candidate | None) -> Iterator[None]:
    """Within it the stage `train` trains as the candidate does; None: as it always does."""
    if candidate is None:
        yield
        return
    with mock.patch.object(stage, "Trainer", candidate.trainer):
        yield
