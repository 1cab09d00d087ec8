"""Pictures that show any number of classes: for every class all pictures are ranked, best first.

N samples, C classes, E embedding, R resamples, P samples that show a class.
"""

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor


def rank_pictures(
    image_NE: Float[Tensor, "N E"], classifier_CE: Float[Tensor, "C E"], target_NC: Int[Tensor, "N C"]
) -> dict[str, np.ndarray]:
    """Return what became of each sample: its "target" [N, C], and its "place" [N, C] among all, 0 the first.

    Of equal scores the earlier sample comes first.

    Args:
        image_NE: normalised embeddings of the images.
        classifier_CE: one normalised vector a class.
        target_NC: 1 where an image shows a class, else 0.
    """
    order_NC = (image_NE @ classifier_CE.T).argsort(dim=0, descending=True, stable=True)
    return {"target": target_NC.numpy(), "place": order_NC.argsort(dim=0).numpy()}


def multilabel_units(outcome: dict[str, np.ndarray]) -> Int[np.ndarray, "N U"]:
    """Return a row a sample: its targets, then its places."""
    return np.concatenate([outcome["target"], outcome["place"]], axis=1).astype(np.int64)


def multilabel_scores(
    unit_NU: Int[np.ndarray, "N U"], weight_RN: Int[np.ndarray, "R N"]
) -> dict[str, Float[np.ndarray, "R"]]:
    """Return CLIP_benchmark's mean_average_precision in [0, 1], for every resample.

    A class that no sample shows counts as 0, as it does there. Where a resample holds a sample twice, both
    are at one place: precision is taken behind them.

    Args:
        unit_NU: targets and places of the samples.
        weight_RN: how often each resample holds each sample.
    """
    target_NC, place_NC = np.split(unit_NU, 2, axis=1)
    weight_NR = np.ascontiguousarray(weight_RN.T)  # whole rows are picked and added up below
    precisions = [
        _average_precision(target_N, place_N, weight_NR)
        for target_N, place_N in zip(target_NC.T, place_NC.T, strict=True)
    ]
    return {"mean_average_precision": np.mean(precisions, axis=0)}


def _average_precision(
    target_N: Int[np.ndarray, "N"], place_N: Int[np.ndarray, "N"], weight_NR: Int[np.ndarray, "N R"]
) -> Float[np.ndarray, "R"]:
    order_N = np.argsort(place_N, kind="stable")
    positive_P = np.flatnonzero(target_N[order_N])
    if not len(positive_P):
        return np.zeros(weight_NR.shape[1])
    seen = weight_NR[order_N[: positive_P[-1] + 1]]  # down to the last picture that shows the class
    drawn_PR = seen[positive_P]
    seen_PR = np.add.reduceat(seen, [0, *(positive_P[:-1] + 1)], axis=0).cumsum(axis=0)
    found_PR = drawn_PR.cumsum(axis=0)
    precision_PR = found_PR / np.maximum(seen_PR, 1)
    return (drawn_PR * precision_PR).sum(axis=0) / np.maximum(found_PR[-1], 1)
