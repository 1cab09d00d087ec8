"""Retrieval both ways: a hit if at least one right answer is among the first k.

M images, T texts, E embedding, K the values of k, R resamples, U numbers of a unit.
"""

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from tclip.evaluate.ranks import best_ranks, ranks

KS = (1, 5, 10)


def retrieve(
    image_ME: Float[Tensor, "M E"], text_TE: Float[Tensor, "T E"], owner_T: Int[Tensor, "T"]
) -> dict[str, np.ndarray]:
    """Return what became of each query, ranks 0 the best.

    "owner" [T] is the image of each text, "image_rank" [T] the rank of that image, "text_rank" [M] the rank
    of an image's best text.

    Args:
        image_ME: normalised embeddings of the images.
        text_TE: normalised embeddings of the texts.
        owner_T: which image each text belongs to; every image has at least one text.
    """
    return {
        "owner": owner_T.numpy(),
        "image_rank": ranks(text_TE, image_ME, owner_T).numpy(),
        "text_rank": best_ranks(image_ME, text_TE, owner_T).numpy(),
    }


def retrieval_units(outcome: dict[str, np.ndarray]) -> Int[np.ndarray, "M U"]:
    """Return a row an image: how many texts it has, how many of them hit at each k, if it hits at each k."""
    owner_T, num_images = outcome["owner"].astype(np.int64), len(outcome["text_rank"])
    found_KT = [outcome["image_rank"] < k for k in KS]
    texts = [np.bincount(owner_T[hit_T], minlength=num_images) for hit_T in (owner_T >= 0, *found_KT)]
    images = [(outcome["text_rank"] < k).astype(np.int64) for k in KS]
    return np.stack([*texts, *images], axis=1).astype(np.int64)


def retrieval_scores(
    unit_MU: Int[np.ndarray, "M U"], weight_RM: Int[np.ndarray, "R M"]
) -> dict[str, Float[np.ndarray, "R"]]:
    """Return CLIP_benchmark's recalls at 1, 5 and 10, each in [0, 1], for every resample.

    image_retrieval_recall: a text finds its image; text_retrieval_recall: an image finds one of its texts.

    Args:
        unit_MU: what became of the images and of their texts.
        weight_RM: how often each resample holds each image with its texts.
    """
    sum_RU = weight_RM @ unit_MU
    num_texts_R, num_images_R = sum_RU[:, 0], weight_RM.sum(axis=1)
    image = {f"image_retrieval_recall@{k}": sum_RU[:, 1 + i] / num_texts_R for i, k in enumerate(KS)}
    text = {f"text_retrieval_recall@{k}": sum_RU[:, 4 + i] / num_images_R for i, k in enumerate(KS)}
    return image | text
