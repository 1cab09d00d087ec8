"""How near the answers of two forms of a model are.

B images, L texts, E embedding.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tclip.export.ranking import same_first


@dataclass(frozen=True)
class Limits:
    """How far a form may part from the packed model.

    Attributes:
        cosine: least mean cosine of its embeddings, images and texts each, in [0, 1].
        agreement: least share of images for which the same text comes first, in [0, 1].
    """

    cosine: float
    agreement: float


@dataclass(frozen=True)
class Answers:
    """The L2-normalised embeddings that a form gives for the same images and texts, no two texts alike."""

    image_BE: Float[Tensor, "B E"]
    text_LE: Float[Tensor, "L E"]


@dataclass(frozen=True)
class Agreement:
    """How a form compares with the packed model.

    Attributes:
        image_mean, image_worst: cosines of the embeddings of images, in [-1, 1].
        text_mean, text_worst: of texts.
        same_first: share of images for which both rank the same text first, in [0, 1]; None of one text.
    """

    image_mean: float
    image_worst: float
    text_mean: float
    text_worst: float
    same_first: float | None

    def beyond(self, limits: Limits) -> list[str]:
        """Say each thing in which the form parts from the model by more than the limits allow."""
        cosines = {"images": self.image_mean, "texts": self.text_mean}
        problems = [
            f"the mean cosine of {what} is {cosine:.4f} (at least {limits.cosine})"
            for what, cosine in cosines.items()
            if cosine < limits.cosine
        ]
        if self.same_first is not None and self.same_first < limits.agreement:
            problems.append(
                f"{self.same_first:.1%} of the images rank the same text first "
                f"(at least {limits.agreement:.1%})"
            )
        return problems


def compare(found: Answers, expected: Answers) -> Agreement:
    """Return how near the answers of a form are to those that are expected; NaN counts as the opposite."""
    image_B = _cosines(found.image_BE, expected.image_BE)
    text_L = _cosines(found.text_LE, expected.text_LE)
    return Agreement(
        image_mean=float(image_B.mean()),
        image_worst=float(image_B.min()),
        text_mean=float(text_L.mean()),
        text_worst=float(text_L.min()),
        same_first=same_first((found.image_BE, found.text_LE), (expected.image_BE, expected.text_LE)),
    )


def _cosines(found_NE: Tensor, expected_NE: Tensor) -> Tensor:
    cosine_N = torch.nn.functional.cosine_similarity(found_NE.double(), expected_NE.double())
    return torch.nan_to_num(cosine_N, nan=-1.0)
