"""Contrastive losses of other kinds, in the place of the recipe's `contrastive`.

B pairs of the batch, E the embedding.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from tclip.data.loader import Batch
from tclip.distill import losses
from tclip.distill.loop import Trainer
from tclip.distill.losses import Views


class Contrast(Trainer):
    """Knows the progress of training and the keys of the batch, which a loss of tclip's does not."""

    done = 0.0  # share of the steps

    def _step(self, batch: Batch, progress: float) -> tuple[dict[str, float], float]:
        self.done = progress
        return super()._step(batch, progress)

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        self.keys = batch.keys[: batch.num_pairs]
        plain = losses.LOSSES["contrastive"]
        losses.LOSSES["contrastive"] = self.contrast
        try:
            return super()._losses(batch)
        finally:
            losses.LOSSES["contrastive"] = plain

    def contrast(self, views: Views) -> Float[Tensor, ""]:
        """Return the loss of a batch."""
        raise NotImplementedError


class HardNegatives(Contrast):
    """Of each row only the negatives that the teacher finds nearest."""

    num_negatives = 8

    def contrast(self, views: Views) -> Float[Tensor, ""]:
        logits_BB = views.scale * views.image_BE @ views.text_BE.T
        image_BF, text_BF = views.paired(views.teacher_image_MF), views.paired(views.teacher_text_NF)
        near_BB = image_BF @ text_BF.T
        return (self._one_way(logits_BB, near_BB) + self._one_way(logits_BB.T, near_BB.T)) / 2

    def _one_way(self, logits_BB: Tensor, near_BB: Tensor) -> Tensor:
        own_BB = torch.eye(len(near_BB), dtype=torch.bool, device=near_BB.device)
        num = min(self.num_negatives, len(near_BB) - 1)
        nearest_BK = near_BB.masked_fill(own_BB, -math.inf).topk(num, 1).indices
        kept_BB = own_BB.scatter(1, nearest_BK, True)
        pairs_B = torch.arange(len(near_BB), device=near_BB.device)
        return functional.cross_entropy(logits_BB.masked_fill(~kept_BB, -math.inf), pairs_B)


class FastClip(Contrast):
    """Negatives of the whole data set, by a running estimate of each pair's sum over them (arXiv 2407.01445).

    With u a pair's estimate of g, the mean over its negatives of exp(logit - own logit), moved by
    u <- (1 - gamma) u + gamma g, the gradient is that of log g with u in the place of g's value. gamma falls
    by a cosine from 1 to 0.2 over the first half of training. Estimates are not part of a checkpoint: after
    an interruption they begin anew.
    """

    least_gamma = 0.2
    largest_logit = 60.0  # exp() of more leaves float32

    def __post_init__(self) -> None:
        super().__post_init__()
        self.estimates: dict[tuple[str, str], float] = {}

    @property
    def gamma(self) -> float:
        """The weight of the batch in a pair's estimate."""
        falling = (1 + math.cos(math.pi * min(1.0, 2 * self.done))) / 2
        return self.least_gamma + (1 - self.least_gamma) * falling

    def contrast(self, views: Views) -> Float[Tensor, ""]:
        logits_BB = views.scale * views.image_BE @ views.text_BE.T
        return (self._one_way(logits_BB, "image") + self._one_way(logits_BB.T, "text")) / 2

    def _one_way(self, logits_BB: Tensor, tower: str) -> Tensor:
        own_BB = torch.eye(len(logits_BB), dtype=torch.bool, device=logits_BB.device)
        above_BB = (logits_BB - logits_BB.diagonal()[:, None]).clamp(max=self.largest_logit)
        g_B = above_BB.exp().masked_fill(own_BB, 0).sum(1) / (len(logits_BB) - 1)
        u_B = torch.tensor(
            [self._moved(tower, key, g) for key, g in zip(self.keys, g_B.tolist(), strict=True)]
        ).to(g_B)
        return (g_B / (u_B + 1e-8)).mean()

    def _moved(self, tower: str, key: str, g: float) -> float:
        before = self.estimates.get((tower, key), g)
        now = (1 - self.gamma) * before + self.gamma * g
        self.estimates[tower, key] = now
        return now


class Finishing(Contrast):
    """The contrastive loss in the last fifth of the steps alone, to finish for retrieval (as DCLIP)."""

    begins = 0.8

    def contrast(self, views: Views) -> Float[Tensor, ""]:
        return losses.contrastive(views) * float(self.done >= self.begins)
