"""How far few pairs are to be trusted: the ridge that fits best what it was not fitted to.

A layer near the end sees little that matters: of each image one token. Fitted closely to some hundred of
those it learns the images by heart, and is worse than nothing on others. So each layer's pairs are halved,
and the ridge is taken with which the float weight fitted to one half errs least on the other.

O outputs, I inputs.
"""

from jaxtyping import Float
from torch import Tensor

from tclip.calibrate.moments import Moments

RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # times the mean second moment of the inputs


def best_ridge(
    halves: tuple[Moments, Moments],
    weight_OI: Float[Tensor, "O I"],
    bias_O: Float[Tensor, " O"] | None,
    *,
    refits_bias: bool,
    least: float,
) -> float:
    """Return the ridge of least error on the half that was not looked at, both ways; at least `least`.

    Args:
        halves: the sums over two halves of the pairs.
        weight_OI: the original weight, to which a ridge draws.
        bias_O: the original bias, if there is one.
        refits_bias: whether the bias is fitted with the weight.
        least: what is taken if a half is empty, and otherwise the smallest that is tried.
    """
    if not all(float(half.weight) > 0 for half in halves):
        return least
    tried = [least, *(ridge for ridge in RIDGES if ridge > least)]
    return min(tried, key=lambda ridge: _unseen_error(halves, weight_OI, bias_O, refits_bias, ridge))


def _unseen_error(
    halves: tuple[Moments, Moments],
    weight_OI: Tensor,
    bias_O: Tensor | None,
    refits_bias: bool,
    ridge: float,
) -> float:
    total = 0.0
    for own, other in (halves, halves[::-1]):
        fitted_OI = own.fit(has_bias=refits_bias).regressed(weight_OI, ridge)
        total += other.error(fitted_OI, own.bias(fitted_OI) if refits_bias else bias_O)
    return total
