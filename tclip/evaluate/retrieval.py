"""Retrieval both ways: a hit if at least one right answer is among the first k.

M images, T texts, E embedding.
"""

from jaxtyping import Float, Int
from torch import Tensor

from tclip.evaluate.ranks import best_ranks, ranks

KS = (1, 5, 10)


def retrieval_metrics(
    image_ME: Float[Tensor, "M E"], text_TE: Float[Tensor, "T E"], owner_T: Int[Tensor, "T"]
) -> dict[str, float]:
    """Return CLIP_benchmark's recalls at 1, 5 and 10, each in [0, 1].

    image_retrieval_recall: a text finds its image; text_retrieval_recall: an image finds one of its texts.

    Args:
        image_ME: normalised embeddings of the images.
        text_TE: normalised embeddings of the texts.
        owner_T: which image each text belongs to; every image has at least one text.
    """
    named = {"image": ranks(text_TE, image_ME, owner_T), "text": best_ranks(image_ME, text_TE, owner_T)}
    return {
        f"{what}_retrieval_recall@{k}": (rank < k).double().mean().item()
        for what, rank in named.items()
        for k in KS
    }
