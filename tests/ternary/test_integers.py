"""Rounding to 4 and 8 bits: every property that a reader relies on, and errors against slow references."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tclip.ternary.integers import to_integers
from tclip.ternary.quantizers import ternarize
from tclip.ternary.tensor import IntTensor
from tests.ternary.strategies import GRANULARITIES, groups_of, weights

LARGEST = {4: 7, 8: 127}
every_bits = pytest.mark.parametrize("bits", [4, 8])


@given(weights(), st.sampled_from([4, 8]), st.sampled_from(GRANULARITIES))
def test_each_weight_has_the_nearest_code_and_each_scale_is_at_least_as_good_as_the_plain_one(
    weight, bits, granularity
):
    found = to_integers(weight, bits, granularity)
    assert found.granularity == ternarize(weight, "mse", granularity).granularity
    for scale, group in zip(found.scale_RG.flatten(), groups_of(weight, granularity), strict=True):
        numbers = torch.stack([weight[place] for place in group])
        codes = torch.tensor([int(found.codes[place]) for place in group])
        nearest = (numbers / scale).round().clamp(-LARGEST[bits], LARGEST[bits]) if scale else 0 * numbers
        assert torch.equal(codes.float(), nearest)
        plain = numbers.abs().max() / LARGEST[bits]
        plain_error = (numbers - plain * (numbers / plain.clamp(min=1e-9)).round()).square().sum()
        assert (numbers - scale * codes).square().sum() <= plain_error + 1e-6


@every_bits
def test_few_bits_are_better_than_ternary_and_more_are_better_than_few(bits):
    weight = torch.randn(8, 64)

    def error(tensor):
        return float((tensor.dense() - weight).square().mean())

    coarse = error(ternarize(weight, "mse", "row"))
    assert error(to_integers(weight, bits)) < coarse / (10 if bits == 4 else 2000)
    assert error(to_integers(weight, bits, "group:16")) < error(to_integers(weight, bits))


def test_outliers_are_cut_at_4_bits():
    weight = torch.randn(1, 256)
    weight[0, 0] = 2 * weight.abs().max()
    found = to_integers(weight, 4)
    assert float(found.scale_RG) < float(weight.abs().max()) / 7
    assert int(found.codes[0, 0].abs()) == 7


@every_bits
def test_integers_that_a_scale_makes_come_back(bits):
    codes = torch.randint(-LARGEST[bits], LARGEST[bits] + 1, (5, 12)).to(torch.int8)
    codes[:, 0] = LARGEST[bits]
    original = IntTensor(codes, torch.rand(5, 1) + 0.1, bits)
    again = to_integers(original.dense(), bits)
    assert torch.equal(again.codes, codes)
    torch.testing.assert_close(again.scale_RG, original.scale_RG)


def test_zeros_stay_zeros():
    found = to_integers(torch.zeros(3, 4), 8)
    assert not found.codes.any()
    assert not found.scale_RG.any()


def test_other_bits_are_refused():
    with pytest.raises(ValueError, match="4 or 8 bits, not 5"):
        IntTensor(torch.zeros(2, 3, dtype=torch.int8), torch.ones(2, 1), 5)
