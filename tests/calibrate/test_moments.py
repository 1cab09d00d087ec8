"""Sums over tokens, against the tokens themselves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tclip.calibrate.moments import Moments
from tclip.calibrate.solver import damped

INPUTS, OUTPUTS = 5, 3


def tokens(seed: int, count: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x [N, I], y [N, O] and positive weights [N]; neither has mean 0."""
    generator = torch.Generator().manual_seed(seed)
    x_NI = torch.randn(count, INPUTS, generator=generator) + 0.7
    y_NO = torch.randn(count, OUTPUTS, generator=generator) + x_NI[:, :OUTPUTS] - 0.4
    return x_NI, y_NO, torch.rand(count, generator=generator) + 0.1


def summed(x_NI: torch.Tensor, y_NO: torch.Tensor, weight_N: torch.Tensor, chunks: int = 3) -> Moments:
    moments = Moments(INPUTS, OUTPUTS, torch.device("cpu"))
    parts = (tensor.tensor_split(chunks) for tensor in (x_NI, y_NO, weight_N))
    for x, y, weight in zip(*parts, strict=True):
        moments.add(x, y, weight)
    return moments


@pytest.mark.parametrize("has_bias", [False, True])
def test_fit_is_the_weighted_mean_over_tokens(has_bias: bool) -> None:
    x_NI, y_NO, weight_N = tokens(0)
    fit = summed(x_NI, y_NO, weight_N).fit(has_bias)
    x_NI, y_NO, share_N = x_NI.double(), y_NO.double(), weight_N.double() / weight_N.double().sum()
    if has_bias:
        x_NI, y_NO = x_NI - share_N @ x_NI, y_NO - share_N @ y_NO
    moment_II = sum(share * torch.outer(x, x) for share, x in zip(share_N, x_NI, strict=True))
    cross_OI = sum(share * torch.outer(y, x) for share, x, y in zip(share_N, x_NI, y_NO, strict=True))
    torch.testing.assert_close(fit.moment_II, moment_II, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(fit.cross_OI, cross_OI, rtol=1e-5, atol=1e-6)


def test_a_bias_that_stays_is_not_left_to_the_weight() -> None:
    x_NI, y_NO, weight_N = tokens(4)
    bias_O = torch.tensor([0.3, -2.0, 0.9])
    fit, plain = (
        summed(x_NI, y_NO + bias_O, weight_N).fit(False, bias_O),
        summed(x_NI, y_NO, weight_N).fit(False),
    )
    torch.testing.assert_close(fit.moment_II, plain.moment_II)
    torch.testing.assert_close(fit.cross_OI, plain.cross_OI, rtol=1e-5, atol=1e-6)
    weight_OI = torch.randn(OUTPUTS, INPUTS, generator=torch.Generator().manual_seed(1))
    fit = summed(x_NI, x_NI @ weight_OI.T + bias_O, weight_N).fit(False, bias_O)
    torch.testing.assert_close(fit.regressed(weight_OI, 0.3), weight_OI, rtol=1e-4, atol=1e-5)


def test_tokens_far_from_zero_lose_nothing() -> None:
    x_NI, y_NO, weight_N = tokens(2)
    near, far = summed(x_NI, y_NO, weight_N).fit(True), summed(x_NI + 1000, y_NO - 500, weight_N).fit(True)
    # what is added to the diagonal grows with the inputs
    off_diagonal = [fit.moment_II - fit.moment_II.diagonal().diag() for fit in (far, near)]
    torch.testing.assert_close(*off_diagonal, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(far.cross_OI, near.cross_OI, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("inputs", [5, 64, 768, 3072])
@pytest.mark.parametrize("mean", [0.0, 1.0, 100.0])
def test_what_is_left_of_a_single_token_can_be_inverted(inputs: int, mean: float) -> None:
    moments = Moments(inputs, OUTPUTS, torch.device("cpu"))
    x_NI = torch.randn(1, inputs, generator=torch.Generator().manual_seed(0)) + mean
    moments.add(x_NI, torch.ones(1, OUTPUTS), torch.tensor([0.3]))
    torch.linalg.cholesky(damped(moments.fit(True).moment_II, 0.01).double())


@pytest.mark.parametrize("has_bias", [False, True])
def test_error_is_the_relative_error_of_the_outputs(has_bias: bool) -> None:
    x_NI, y_NO, weight_N = tokens(1)
    weight_OI = torch.randn(OUTPUTS, INPUTS, generator=torch.Generator().manual_seed(9))
    bias_O = torch.tensor([0.3, -0.2, 0.9]) if has_bias else None
    off_NO = y_NO - torch.nn.functional.linear(x_NI, weight_OI, bias_O)
    wanted = (off_NO.square().sum(-1) @ weight_N) / (y_NO.square().sum(-1) @ weight_N)
    found = summed(x_NI, y_NO, weight_N).error(weight_OI, bias_O)
    assert found == pytest.approx(float(wanted), rel=1e-5)


def test_error_of_a_perfect_answer_is_not_negative() -> None:
    x_NI, _, weight_N = tokens(2)
    weight_OI = torch.randn(OUTPUTS, INPUTS, generator=torch.Generator().manual_seed(9))
    assert 0 <= summed(x_NI, x_NI @ weight_OI.T, weight_N).error(weight_OI, None) < 1e-6


def test_bias_is_the_one_of_least_squares() -> None:
    x_NI, y_NO, weight_N = tokens(3)
    weight_OI = torch.randn(OUTPUTS, INPUTS, generator=torch.Generator().manual_seed(9))
    root_N1 = weight_N.sqrt()[:, None]
    wanted_1O = torch.linalg.lstsq(root_N1, root_N1 * (y_NO - x_NI @ weight_OI.T)).solution
    bias_O = summed(x_NI, y_NO, weight_N).bias(weight_OI)
    torch.testing.assert_close(bias_O, wanted_1O[0], rtol=1e-4, atol=1e-5)


def test_tokens_of_weight_zero_are_left_out_even_if_broken() -> None:
    x_NI, y_NO, weight_N = tokens(4)
    weight_N[::3] = 0
    kept = weight_N > 0
    fewer = summed(x_NI[kept], y_NO[kept], weight_N[kept]).fit(True)
    x_NI[::3], y_NO[::3] = torch.nan, torch.inf
    fit = summed(x_NI, y_NO, weight_N).fit(True)
    torch.testing.assert_close(fit.moment_II, fewer.moment_II)
    torch.testing.assert_close(fit.cross_OI, fewer.cross_OI)


@given(ridge=st.sampled_from([0.001, 0.1, 1.0, 100.0]), has_bias=st.booleans())
def test_regression_is_an_explicit_ridge_regression(ridge: float, has_bias: bool) -> None:
    x_NI, y_NO, weight_N = tokens(5)
    near_OI = torch.randn(OUTPUTS, INPUTS, generator=torch.Generator().manual_seed(9))
    found_OI = summed(x_NI, y_NO, weight_N).fit(has_bias).regressed(near_OI, ridge)
    x_NI, y_NO, share_N = x_NI.double(), y_NO.double(), weight_N.double() / weight_N.double().sum()
    if has_bias:
        x_NI, y_NO = x_NI - share_N @ x_NI, y_NO - share_N @ y_NO
    root_N1 = share_N.sqrt()[:, None]
    strength = ridge * float((share_N @ x_NI.square()).mean())
    # a ridge towards a weight is as many more tokens, one an input, answered as that weight answers them
    pull_II = strength**0.5 * torch.eye(INPUTS, dtype=torch.float64)
    left = torch.cat([root_N1 * x_NI, pull_II])
    right = torch.cat([root_N1 * y_NO, pull_II @ near_OI.double().T])
    wanted_OI = torch.linalg.lstsq(left, right).solution.T
    torch.testing.assert_close(found_OI.double(), wanted_OI, rtol=1e-4, atol=1e-5)


def test_regression_without_any_input_keeps_the_weight() -> None:
    x_NI, y_NO, weight_N = tokens(6)
    near_OI = torch.randn(OUTPUTS, INPUTS, generator=torch.Generator().manual_seed(9))
    found_OI = summed(x_NI * 0, y_NO, weight_N).fit(False).regressed(near_OI, 0.1)
    torch.testing.assert_close(found_OI, near_OI)
