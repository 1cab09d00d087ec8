"""How far training has come, and what learning rate and quantization strength go with that."""

import math
import time
from dataclasses import dataclass, field

from tclip.recipe.schema import Train


@dataclass
class Budget:
    """Steps or minutes, whichever the recipe gives, as progress in [0, 1].

    Attributes:
        steps, minutes: the limit; exactly one is set.
        step: steps done.
        seconds: time spent in training before this process took over.
    """

    steps: int | None
    minutes: float | None
    step: int = 0
    seconds: float = 0.0
    _since: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds of training, those before a resume included."""
        return self.seconds + time.monotonic() - self._since

    @property
    def progress(self) -> float:
        """Share of the budget that is used, in [0, 1]."""
        if self.steps is not None:
            return min(1.0, self.step / self.steps)
        return min(1.0, self.elapsed / (60 * float(self.minutes or 0)))

    @property
    def total_steps(self) -> int:
        """The number of steps in all; with a limit in minutes, what the rate so far lets expect."""
        if self.steps is not None:
            return self.steps
        return max(self.step, round(self.step / self.progress)) if self.step else 0


def learning_rate(progress: float, train: Train) -> float:
    """Return the learning rate: linear warm-up, cosine down to the recovery rate, then a second cosine to 0.

    The low-rate second phase is FTerViT's (arXiv 2605.21171). Without recovery there is one cosine to 0.
    """
    end_of_main = 1 - train.recovery
    floor = train.recovery_lr if train.recovery > 0 else 0.0
    if progress < train.warmup:
        return train.lr * max(progress / train.warmup, 1e-3)
    if progress < end_of_main:
        return _cosine((progress - train.warmup) / (end_of_main - train.warmup), train.lr, floor)
    return _cosine((progress - end_of_main) / max(train.recovery, 1e-9), floor, 0.0)


def strength(progress: float, train: Train) -> float:
    """Return the strength of quantization: from 0 to 1 over the share `strength_warmup`, then 1."""
    return 1.0 if train.strength_warmup == 0 else min(1.0, progress / train.strength_warmup)


def _cosine(share: float, start: float, end: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, share))) / 2
