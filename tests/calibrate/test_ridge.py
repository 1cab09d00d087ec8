"""The ridge: near nothing where many tokens tell another weight, large where few tell noise."""

import pytest
import torch

from tclip.calibrate.moments import Moments
from tclip.calibrate.ridge import RIDGES, best_ridge

INPUTS, OUTPUTS = 12, 5


def halves_of(tokens: int, other: float, noise: float) -> tuple[tuple[Moments, Moments], torch.Tensor]:
    """Two halves whose outputs are those of a weight so far from the original one, with noise on top."""
    generator = torch.Generator().manual_seed(0)
    weight_OI = torch.randn(OUTPUTS, INPUTS, generator=generator)
    true_OI = weight_OI + other * torch.randn(OUTPUTS, INPUTS, generator=generator)
    halves = []
    for _ in range(2):
        x_NI = torch.randn(tokens, INPUTS, generator=generator)
        y_NO = x_NI @ true_OI.T + noise * torch.randn(tokens, OUTPUTS, generator=generator)
        halves.append(Moments(INPUTS, OUTPUTS, torch.device("cpu")))
        halves[-1].add(x_NI, y_NO, torch.ones(tokens))
    return (halves[0], halves[1]), weight_OI


def chosen(tokens: int, other: float, noise: float) -> float:
    halves, weight_OI = halves_of(tokens, other, noise)
    return best_ridge(halves, weight_OI, None, refits_bias=False, least=0.1)


def test_many_tokens_that_tell_another_weight_are_trusted() -> None:
    assert chosen(tokens=2000, other=1.0, noise=0.1) == 0.1


def test_few_tokens_that_tell_noise_are_not() -> None:
    assert chosen(tokens=10, other=0.0, noise=3.0) >= 10


def test_between_them_lies_what_each_half_says_of_the_other() -> None:
    halves, weight_OI = halves_of(tokens=16, other=0.3, noise=1.0)
    errors = {}
    for ridge in (0.1, *RIDGES):
        errors[ridge] = sum(
            other.error(
                own.fit(True).regressed(weight_OI, ridge), own.bias(own.fit(True).regressed(weight_OI, ridge))
            )
            for own, other in (halves, halves[::-1])
        )
    found = best_ridge(halves, weight_OI, torch.zeros(OUTPUTS), refits_bias=True, least=0.1)
    assert found == min(errors, key=lambda ridge: errors[ridge])
    assert 0.1 < found < max(RIDGES)


@pytest.mark.parametrize("least", [0.05, 0.3])
def test_with_one_half_alone_the_least_is_taken(least: float) -> None:
    (full, _), weight_OI = halves_of(tokens=50, other=1.0, noise=0.1)
    empty = Moments(INPUTS, OUTPUTS, torch.device("cpu"))
    assert best_ridge((full, empty), weight_OI, None, refits_bias=False, least=least) == least


def test_sums_of_halves_are_those_of_the_whole() -> None:
    halves, _ = halves_of(tokens=30, other=1.0, noise=0.5)
    whole = halves[0] + halves[1]
    assert float(whole.weight) == 60
    torch.testing.assert_close(whole.input_II, halves[0].input_II + halves[1].input_II)
    assert float(halves[0].weight) == 30
