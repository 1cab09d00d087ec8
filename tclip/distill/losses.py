"""What the student is asked to learn, one function a loss. A new loss is one function and one registry line.

All embeddings are L2-normalised. Of the whole (global) batch: B pairs, M images and N texts, the pairs first.
E the student's embedding, F the teacher's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from tclip.recipe.schema import Losses


@dataclass(frozen=True)
class Views:
    """What one batch looks like to the student and to the teacher.

    Attributes:
        image_BE, text_BE: the student's embeddings of the pairs; gradients flow through them.
        projected_image_MF, projected_text_NF: the student's embeddings of all images and texts, in the
            teacher's space.
        teacher_image_MF, teacher_text_NF: the teacher's embeddings of the same.
        scale, bias: the student's exp(logit_scale) and logit_bias (None unless the family is SigLIP's).
        teacher_scale: the teacher's exp(logit_scale).
    """

    image_BE: Float[Tensor, "B E"]
    text_BE: Float[Tensor, "B E"]
    projected_image_MF: Float[Tensor, "M F"]
    projected_text_NF: Float[Tensor, "N F"]
    teacher_image_MF: Float[Tensor, "M F"]
    teacher_text_NF: Float[Tensor, "N F"]
    scale: Float[Tensor, ""]
    bias: Float[Tensor, ""] | None
    teacher_scale: Float[Tensor, ""]

    def paired(self, rows: Float[Tensor, "R D"]) -> Float[Tensor, "B D"]:
        """Return of the rows of all images, or of all texts, those that have a partner."""
        return rows[: len(self.image_BE)]


Loss = Callable[[Views], Float[Tensor, ""]]


def contrastive(views: Views) -> Float[Tensor, ""]:
    """Match images and texts of the batch: CLIP's softmax loss (arXiv 2103.00020, fig. 3).

    A student with a logit bias gets SigLIP's sigmoid loss instead (arXiv 2303.15343, eq. 1).
    """
    logits_BB = views.scale * views.image_BE @ views.text_BE.T
    if views.bias is None:
        return _both_ways(logits_BB)
    sign_BB = 2 * torch.eye(len(logits_BB), device=logits_BB.device) - 1
    return -functional.logsigmoid(sign_BB * (logits_BB + views.bias)).sum(-1).mean()


def feature(views: Views) -> Float[Tensor, ""]:
    """Squared distance to the teacher's embeddings, 2 (1 - cos), mean of both towers; it needs no pairs.

    CLIP-KD's FD (arXiv 2307.12732, eq. 5), summed over the embedding instead of averaged: its weight
    2000 there is 2000 / E here.
    """
    image = (views.projected_image_MF - views.teacher_image_MF).square().sum(-1).mean()
    text = (views.projected_text_NF - views.teacher_text_NF).square().sum(-1).mean()
    return (image + text) / 2


def interactive(views: Views) -> Float[Tensor, ""]:
    """Contrast student images with teacher texts and the other way.

    CLIP-KD's ICL (arXiv 2307.12732, eq. 9-11).
    """
    image_BF, text_BF = views.paired(views.projected_image_MF), views.paired(views.projected_text_NF)
    image_to_text_BB = views.teacher_scale * image_BF @ views.paired(views.teacher_text_NF).T
    text_to_image_BB = views.teacher_scale * text_BF @ views.paired(views.teacher_image_MF).T
    pairs_B = torch.arange(len(image_to_text_BB), device=image_to_text_BB.device)
    return (
        functional.cross_entropy(image_to_text_BB, pairs_B)
        + functional.cross_entropy(text_to_image_BB, pairs_B)
    ) / 2


def similarity(views: Views) -> Float[Tensor, ""]:
    """KL from the teacher's to the student's rows of image-text similarity, both ways.

    CLIP-KD's CRD (arXiv 2307.12732, eq. 2-4), TinyCLIP's affinity mimicking.
    """
    student_BB = views.scale * views.image_BE @ views.text_BE.T
    teacher_image_BF = views.paired(views.teacher_image_MF)
    teacher_BB = views.teacher_scale * teacher_image_BF @ views.paired(views.teacher_text_NF).T
    return (_row_divergence(student_BB, teacher_BB) + _row_divergence(student_BB.T, teacher_BB.T)) / 2


LOSSES: dict[str, Loss] = {
    "contrastive": contrastive,
    "feature": feature,
    "interactive": interactive,
    "similarity": similarity,
}


def embedding_losses(views: Views, weights: Losses) -> dict[str, Float[Tensor, ""]]:
    """Return the weighted value of each embedding loss that is switched on, by name."""
    return {
        name: getattr(weights, name) * loss(views)
        for name, loss in LOSSES.items()
        if getattr(weights, name) > 0
    }


def _both_ways(logits_BB: Float[Tensor, "B B"]) -> Float[Tensor, ""]:
    pairs_B = torch.arange(len(logits_BB), device=logits_BB.device)
    return (functional.cross_entropy(logits_BB, pairs_B) + functional.cross_entropy(logits_BB.T, pairs_B)) / 2


def _row_divergence(student_BB: Float[Tensor, "B B"], teacher_BB: Float[Tensor, "B B"]) -> Float[Tensor, ""]:
    return functional.kl_div(
        student_BB.log_softmax(-1), teacher_BB.log_softmax(-1), reduction="batchmean", log_target=True
    )
