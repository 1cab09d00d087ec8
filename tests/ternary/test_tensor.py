"""The pair of codes and scales."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tclip.ternary.quantizers import ternarize
from tclip.ternary.tensor import TernaryTensor
from tests.ternary.strategies import GRANULARITIES, groups_of


@given(st.sampled_from(GRANULARITIES), st.integers(0, 2**16))
def test_dense_is_scale_times_code(granularity, seed):
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))
    tensor = ternarize(weight, "absmean", granularity)
    dense = tensor.dense()
    assert dense.dtype == torch.float32
    for scale, group in zip(tensor.scale_RG.flatten(), groups_of(weight, granularity), strict=True):
        for place in group:
            assert dense[place] == scale * int(tensor.codes[place])


@pytest.mark.parametrize("granularity", ["tensor", "row", "group:6", "group:4", "group:1"])
@pytest.mark.parametrize("shape", [(5, 12), (5, 3, 2, 2)])
def test_the_granularity_is_told_by_the_scales(granularity, shape):
    assert ternarize(torch.randn(shape), "absmean", granularity).granularity == granularity


def test_the_share_of_zeros():
    codes = torch.tensor([[0, 1, 0, -1], [0, 0, 0, 1]], dtype=torch.int8)
    assert TernaryTensor(codes, torch.ones(2, 1)).zeros == 5 / 8


def test_rounded_scales_are_what_the_dtype_holds_and_codes_are_kept():
    tensor = ternarize(torch.randn(4, 6), "absmean", "group:3")
    rounded = tensor.rounded(torch.float16)
    assert rounded.codes is tensor.codes
    assert rounded.scale_RG.dtype == torch.float32
    assert torch.equal(rounded.scale_RG, tensor.scale_RG.half().float())
    assert not torch.equal(rounded.scale_RG, tensor.scale_RG)


@pytest.mark.parametrize(
    ("shape", "scales"),
    [
        ((4, 6), (2, 1)),
        ((4, 6), (4, 4)),
        ((4, 6), (1, 4)),
        ((4, 6), (6, 1)),
        ((4, 6), (4, 0)),
        ((4, 6), (0, 1)),
    ],
)
def test_scales_that_no_granularity_gives_are_refused(shape, scales):
    with pytest.raises(ValueError, match="cannot have scales of shape"):
        TernaryTensor(torch.zeros(shape, dtype=torch.int8), torch.ones(scales))


@pytest.mark.parametrize("shape", [(0, 6), (6, 0), ()])
def test_a_weight_without_rows_of_codes_is_refused(shape):
    with pytest.raises(ValueError, match="no rows of codes"):
        TernaryTensor(torch.zeros(shape, dtype=torch.int8), torch.ones(1, 1))


def test_a_negative_scale_is_refused():
    with pytest.raises(ValueError, match="negative"):
        TernaryTensor(torch.zeros(2, 3, dtype=torch.int8), torch.tensor([[1.0], [-1.0]]))
