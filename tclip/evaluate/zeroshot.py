"""Zero-shot classification: the class whose name, put into templates, lies nearest to the image.

N samples, C classes, E embedding, R resamples.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tclip.evaluate.encoder import Encoder, embed_all_texts
from tclip.evaluate.ranks import ranks

TOP = 5


def build_classifier(
    encoder: Encoder, prompts: Sequence[Sequence[str]], batch_size: int
) -> Float[Tensor, "C E"]:
    """Return one vector a class: the mean of its prompts' normalised embeddings, normalised again.

    Radford et al., 2021, section 3.1.4 (prompt ensembling in embedding space).

    Args:
        encoder: embeds the prompts.
        prompts: the texts of every class, at least one each.
        batch_size: texts at a time.
    """
    texts = [text for of_class in prompts for text in of_class]
    embeddings = torch.nn.functional.normalize(embed_all_texts(encoder, texts, batch_size), dim=-1)
    means = [part.mean(dim=0) for part in embeddings.split([len(of_class) for of_class in prompts])]
    return torch.nn.functional.normalize(torch.stack(means), dim=-1)


def classify(
    image_NE: Float[Tensor, "N E"], classifier_CE: Float[Tensor, "C E"], label_N: Int[Tensor, "N"]
) -> dict[str, np.ndarray]:
    """Return what became of each sample: its "label", and the "rank" of that class, 0 the best.

    Equal scores rank by class index.

    Args:
        image_NE: normalised embeddings of the images.
        classifier_CE: one normalised vector a class.
        label_N: the true class of each image.
    """
    return {"label": label_N.numpy(), "rank": ranks(image_NE, classifier_CE, label_N).numpy()}


def classification_units(outcome: dict[str, np.ndarray]) -> Int[np.ndarray, "N 3"]:
    """Return a row a sample: label, right, among the first five."""
    rank_N = outcome["rank"]
    return np.stack([outcome["label"], rank_N == 0, rank_N < TOP], axis=1).astype(np.int64)


def classification_scores(
    unit_N3: Int[np.ndarray, "N 3"], weight_RN: Int[np.ndarray, "R N"]
) -> dict[str, Float[np.ndarray, "R"]]:
    """Return CLIP_benchmark's acc1, acc5 and mean_per_class_recall, each in [0, 1], for every resample.

    The mean per-class recall is over the classes that have samples in the resample.

    Args:
        unit_N3: what became of the samples.
        weight_RN: how often each resample holds each sample.
    """
    unit_N3, weight_RN = _by_class(unit_N3, weight_RN)
    label_N, right_N, near_N = unit_N3.T
    first_C = np.flatnonzero(np.diff(label_N, prepend=-1))  # the first sample of every class
    count_RC = np.add.reduceat(weight_RN, first_C, axis=1)
    right_RC = np.add.reduceat(weight_RN * right_N, first_C, axis=1)
    num_R = count_RC.sum(axis=1)
    return {
        "acc1": right_RC.sum(axis=1) / num_R,
        "acc5": weight_RN @ near_N / num_R,
        "mean_per_class_recall": (right_RC / np.maximum(count_RC, 1)).sum(axis=1)
        / (count_RC > 0).sum(axis=1),
    }


def _by_class(
    unit_N3: Int[np.ndarray, "N 3"], weight_RN: Int[np.ndarray, "R N"]
) -> tuple[Int[np.ndarray, "N 3"], Int[np.ndarray, "R N"]]:
    order_N = np.argsort(unit_N3[:, 0], kind="stable")
    return unit_N3[order_N], weight_RN[:, order_N]
