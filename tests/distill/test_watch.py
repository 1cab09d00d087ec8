"""A step that has gone astray is told from one that has not."""

import math

import pytest

from tclip.distill.watch import Watch


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize(
    ("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf)]
)
def test_what_is_not_finite_is_never_sound(loss: float, norm: float, strength: float) -> None:
    assert not Watch(1.0).is_sound(loss, norm, strength)


def test_a_loss_may_not_grow_more_than_tenfold() -> None:
    watch = Watch(1.0)
    assert watch.is_sound(0.5, 1.0, 1.0)
    assert watch.beginning == " (it began at 0.5)"
    assert watch.is_sound(6.0, 1.0, 1.0)
    assert not watch.is_sound(6.1, 1.0, 1.0)
    assert watch.is_sound(0.4, 1.0, 1.0)


def test_while_quantization_fades_in_a_loss_may_grow() -> None:
    watch = Watch(1.0)
    for strength in (0.0, 0.5, 0.99):
        assert watch.is_sound(40 * strength, 1.0, strength)
    assert watch.beginning == ""
    assert watch.is_sound(50.0, 1.0, 1.0)
    assert watch.is_sound(500.0, 1.0, 1.0)
    assert not watch.is_sound(502.0, 1.0, 1.0)


@pytest.mark.parametrize("weight", [1e-3, 1.0, 2000.0])
def test_what_is_allowed_follows_the_weights_of_the_losses(weight: float) -> None:
    watch = Watch(weight)
    assert watch.is_sound(0.0, 1.0, 1.0)  # so near to the teacher it may begin
    assert watch.is_sound(0.9 * weight, 1.0, 1.0)
    assert not watch.is_sound(1.1 * weight, 1.0, 1.0)
