"""Running means of the student's parameters: as what is kept at the end, and as a second teacher.

Means are not part of a checkpoint: after an interruption they begin anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from tclip.data.loader import Batch
from tclip.distill.loop import Rows, Trainer
from tclip.distill.precision import computing_in
from tclip.distill.student import quantized_once
from tclip.models.clip import Inputs


class Averaging(Trainer):
    """Keeps a mean of the student over its last hundred steps or so."""

    momentum = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        self.trained = [x for x in self.student.parameters() if x.requires_grad]
        self.means = [x.detach().clone() for x in self.trained]

    def _step(self, batch: Batch, progress: float) -> tuple[dict[str, float], float]:
        result = super()._step(batch, progress)
        seen = self.budget.step + 1
        kept = min(self.momentum, seen / (seen + 10))  # at first a mean of what there is
        with torch.no_grad():
            torch._foreach_lerp_(self.means, self.trained, 1 - kept)
        return result

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the student is its mean."""
        own = [x.data for x in self.trained]
        try:
            for parameter, mean in zip(self.trained, self.means, strict=True):
                parameter.data = mean
            yield
        finally:
            for parameter, data in zip(self.trained, own, strict=True):
                parameter.data = data


class AveragedLatents(Averaging):
    """Training ends in the mean."""

    def run(self, batches: Iterator[Batch]) -> None:
        super().run(batches)
        with torch.no_grad():
            torch._foreach_copy_([x.data for x in self.trained], self.means)


class OwnTeacher(Averaging):
    """The mean teaches beside the teacher (ECLIPSE, arXiv 2312.12659): squared distance to its embeddings."""

    weight = 0.5
    seen: tuple[Rows, Rows]

    def _embeddings(self, batch: Batch, images: Inputs, texts: Inputs) -> tuple[Rows, Rows]:
        precision = computing_in(self.teacher.precision, self.accelerator.device)
        with self.averaged(), torch.no_grad(), quantized_once(), precision:
            means = self.student(images, texts)
        embeddings, targets = super()._embeddings(batch, images, texts)
        self.seen = embeddings, means
        return embeddings, targets

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        losses = super()._losses(batch)
        (image_ME, text_NE, *_), (mean_image_ME, mean_text_NE, *_) = self.seen
        image, text = (
            (own.float() - mean.float()).square().sum(-1).mean()
            for own, mean in ((image_ME, mean_image_ME), (text_NE, mean_text_NE))
        )
        return losses | {"own": self.weight * (image + text) / 2}
