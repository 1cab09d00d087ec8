"""Each rule against loops over plain numbers, and the exact one against every threshold there is."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tclip.ternary.quantizers import QUANTIZERS, ternarize
from tests.ternary.strategies import GRANULARITIES, QUANTIZER_NAMES, groups_of, weights


def absmean_slowly(magnitudes):
    mean = sum(magnitudes) / len(magnitudes)
    return mean, mean / 2


def clip2_slowly(magnitudes):
    mean = sum(magnitudes) / len(magnitudes)
    return 2 * mean, mean


def twn_slowly(magnitudes):
    threshold = Fraction(3, 4) * sum(magnitudes) / len(magnitudes)
    kept = [magnitude for magnitude in magnitudes if magnitude > threshold]
    return (sum(kept) / len(kept) if kept else Fraction(0)), threshold


SLOW = {"absmean": absmean_slowly, "clip2": clip2_slowly, "twn": twn_slowly}


def exact(number):
    return Fraction(float(number))


def least_error(magnitudes):
    """The least squared error over every threshold, each with its own best scale."""
    errors = []
    for threshold in {Fraction(0), *magnitudes}:
        kept = [magnitude for magnitude in magnitudes if magnitude > threshold]
        scale = sum(kept) / len(kept) if kept else Fraction(0)
        errors.append(sum((m - scale) ** 2 if m > threshold else m**2 for m in magnitudes))
    return min(errors)


def squared_error(weight, tensor):
    return float((weight.double() - tensor.dense().double()).square().sum())


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("name", SLOW)
@given(weights())
def test_a_rule_is_its_formula(name, granularity, weight):
    tensor = ternarize(weight, name, granularity)
    for scale, group in zip(tensor.scale_RG.flatten(), groups_of(weight, granularity), strict=True):
        values = [exact(weight[place]) for place in group]
        slow_scale, threshold = SLOW[name]([abs(value) for value in values])
        assert float(scale) == pytest.approx(float(slow_scale), rel=1e-6)
        for place, value in zip(group, values, strict=True):
            if abs(abs(value) - threshold) > threshold / 10**6:
                assert tensor.codes[place] == (0 if abs(value) <= threshold else 1 if value > 0 else -1)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("name", ["mse", "learned"])
@given(weights())
def test_mse_is_the_best_of_all_thresholds(name, granularity, weight):
    tensor = ternarize(weight, name, granularity)
    groups = groups_of(weight, granularity)
    best = sum(least_error([abs(exact(weight[place])) for place in group]) for group in groups)
    assert squared_error(weight, tensor) == pytest.approx(float(best), rel=1e-5, abs=1e-9)


@given(st.integers(0, 2**16), st.sampled_from(GRANULARITIES))
def test_mse_is_never_worse_than_the_others(seed, granularity):
    weight = torch.randn(5, 12, generator=torch.Generator().manual_seed(seed)) ** 3
    best = squared_error(weight, ternarize(weight, "mse", granularity))
    for name in QUANTIZERS:
        assert best <= squared_error(weight, ternarize(weight, name, granularity)) * (1 + 1e-6)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("name", QUANTIZER_NAMES)
@given(weights())
def test_a_ternary_weight_comes_back_unchanged(name, granularity, weight):
    tensor = ternarize(weight, name, granularity)
    assert ternarize(tensor, name, granularity) is tensor
    assert ternarize(tensor, "clip2", "tensor") is tensor


@pytest.mark.parametrize("granularity", GRANULARITIES)
@given(weights())
def test_mse_finds_a_dense_product_again(granularity, weight):
    tensor = ternarize(weight, "mse", granularity)
    again = ternarize(tensor.dense(), "mse", granularity)
    assert torch.equal(again.codes, tensor.codes)
    assert torch.allclose(again.scale_RG, tensor.scale_RG)


def test_clip2_leaves_the_published_share_of_zeros_on_gaussian_weights():
    weight = torch.randn(64, 4096, generator=torch.Generator().manual_seed(0))
    assert ternarize(weight, "clip2", "row").zeros == pytest.approx(0.575, abs=0.003)


def test_the_sign_is_symmetric_and_the_scale_is_not_negative():
    weight = torch.randn(6, 12, generator=torch.Generator().manual_seed(1))
    for name in QUANTIZERS:
        there, mirrored = ternarize(weight, name), ternarize(-weight, name)
        assert torch.equal(there.codes, -mirrored.codes)
        assert torch.equal(there.scale_RG, mirrored.scale_RG)
        assert (there.scale_RG >= 0).all()


@pytest.mark.parametrize("name", QUANTIZER_NAMES)
def test_zeros_stay_zeros(name):
    tensor = ternarize(torch.zeros(3, 6), name, "group:3")
    assert not tensor.codes.any()
    assert not tensor.dense().any()


@pytest.mark.parametrize("name", QUANTIZER_NAMES)
def test_a_convolution_is_quantized_like_its_flattened_rows(name):
    weight = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(2))
    tensor, flat = ternarize(weight, name, "group:6"), ternarize(weight.flatten(1), name, "group:6")
    assert torch.equal(tensor.codes.flatten(1), flat.codes)
    assert torch.equal(tensor.scale_RG, flat.scale_RG)


def test_half_precision_weights_give_float32_scales():
    tensor = ternarize(torch.randn(4, 6).half(), "absmean")
    assert tensor.scale_RG.dtype == torch.float32


def test_every_rule_is_tested():
    assert set(QUANTIZERS) == set(QUANTIZER_NAMES)


def test_an_unknown_quantizer_is_refused_with_those_known():
    with pytest.raises(
        ValueError, match=r'unknown quantizer "int4", known: absmean, clip2, twn, mse, learned'
    ):
        ternarize(torch.ones(2, 2), "int4")
