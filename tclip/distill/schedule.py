"""How far training has come, and what learning rate and quantization strength go with that."""

import math
import time
from dataclasses import dataclass

from tclip.recipe.schema import Train


@dataclass
class Budget:
    """Steps or minutes, whichever the recipe gives, as progress in [0, 1].

    The clock stands still until it is started.

    Attributes:
        steps, minutes: the limit; exactly one is set.
        step: steps done.
        seconds: time spent in training before this process took over.
    """

    steps: int | None
    minutes: float | None
    step: int = 0
    seconds: float = 0.0
    _since: float | None = None

    @property
    def started(self) -> bool:
        """Whether the clock runs."""
        return self._since is not None

    def start(self) -> None:
        """Start the clock."""
        self._since = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of training, those before a resume included."""
        return self.seconds + (0.0 if self._since is None else time.monotonic() - self._since)

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


def ternary_share(total_steps: int, train: Train) -> float:
    """Return what ternary_lr is multiplied by, in (0, 1], so that a longer training goes no longer way.

    Adam moves a weight by about the rate at each step, so rate times steps is how far it can come. A rate
    that is right for few steps shakes codes loose for most of a longer training.

    Args:
        total_steps: in all, as far as is known; 0: not yet.
        train: the recipe's section.
    """
    if train.ternary_path is None or train.ternary_lr is None or total_steps == 0:
        return 1.0
    return min(1.0, train.ternary_path / (train.ternary_lr * total_steps))


def strength(progress: float, train: Train) -> float:
    """Return the strength of quantization: from 0 to 1 over the share `strength_warmup`, then 1."""
    return 1.0 if train.strength_warmup == 0 else min(1.0, progress / train.strength_warmup)


def _cosine(share: float, start: float, end: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, share))) / 2
