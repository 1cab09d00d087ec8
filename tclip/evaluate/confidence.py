"""Whether a model is right as often as it says.

N samples, C classes, E embedding, B bins.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

BINS = 15
CHUNK = 1024  # samples at a time


def confidences(
    image_NE: Float[Tensor, "N E"], classifier_CE: Float[Tensor, "C E"], logit_scale: float
) -> Float[Tensor, "N"]:
    """Return the largest share of each image's softmax of logit_scale times the cosines, in (0, 1].

    Args:
        image_NE: normalised embeddings of the images.
        classifier_CE: one normalised vector a class.
        logit_scale: what the model's cosines are multiplied by to make logits.
    """
    shares = [(logit_scale * chunk_NE @ classifier_CE.T).softmax(dim=1) for chunk_NE in image_NE.split(CHUNK)]
    return torch.cat([share_NC.amax(dim=1) for share_NC in shares])


def expected_calibration_error(confidence_N: Float[Tensor, "N"], right_N: Bool[Tensor, "N"]) -> float:
    """Return by how much the share of right answers parts from the confidence in them on average; in [0, 1].

    Guo et al., 2017, equation 3, with 15 bins of equal width, each with its upper edge.
    """
    gap_N = right_N.double() - confidence_N.double()
    bin_N = (confidence_N * BINS).ceil().long().clamp(1, BINS) - 1
    gap_B = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bin_N, gap_N)
    return gap_B.abs().sum().item() / len(right_N)
