"""By how much two models differ, and how sure that is: a bootstrap that is paired over samples.

Efron and Tibshirani, 1993, chapter 13 (percentile interval). Both models are scored on the same resamples.
Drawing N of N units with replacement is drawing how often each distinct kind of unit comes up from a
multinomial distribution, and there are few kinds: of a classification, the class and which model was right.

N units, K kinds of them, U numbers of a unit, R resamples.
"""

import zlib

import numpy as np
from jaxtyping import Float

from tclip.errors import DataError
from tclip.evaluate.outcomes import Outcome, kind_of

RESAMPLES = 2000
SEED = 0
MOST_WEIGHTS = 4_000_000  # at a time


def paired_differences(
    one: Outcome, other: Outcome, name: str, resamples: int = RESAMPLES
) -> dict[str, Float[np.ndarray, "R"]]:
    """Return, by metric, how much more the other scores than the one in each resample.

    Args:
        one: what became of every sample with one model.
        other: the same with the other model.
        name: of the data set; seeds the draws: the same each time, independent between data sets.
        resamples: how many.

    Raises:
        DataError: the two are not about the same samples.
    """
    kind = kind_of(one)
    units = [kind.units(outcome) for outcome in (one, other) if kind_of(outcome) is kind]
    if len(units) < 2 or units[0].shape != units[1].shape:
        raise DataError(f"The two measurements on {name} are not of the same samples: measure both again.")
    kind_KU, count_K = np.unique(np.concatenate(units, axis=1), axis=0, return_counts=True)
    one_KU, other_KU = np.split(kind_KU, 2, axis=1)
    generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    num, at_once = count_K.sum(), max(1, MOST_WEIGHTS // len(count_K))
    drawn = []
    for start in range(0, resamples, at_once):
        weight_RK = generator.multinomial(num, count_K / num, size=min(at_once, resamples - start))
        before, after = kind.scores(one_KU, weight_RK), kind.scores(other_KU, weight_RK)
        drawn.append({metric: after[metric] - before[metric] for metric in before})
    return {metric: np.concatenate([part[metric] for part in drawn]) for metric in drawn[0]}


def interval(difference_R: Float[np.ndarray, "R"]) -> tuple[float, float]:
    """Return the 95 % percentile interval of resampled differences."""
    low, high = np.quantile(difference_R, (0.025, 0.975))
    return float(low), float(high)
