"""Codes and scales of a file as matrices, against the torch side of the format."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tclip.runtime.coded import coded_matrix
from tclip.runtime.reference import codes_of
from tclip.ternary.codec import pack_codes
from tclip.ternary.integers import to_integers
from tclip.ternary.quantizers import ternarize


@settings(deadline=None, max_examples=40)
@given(
    shape=st.sampled_from([(1, 1), (3, 7), (5, 6), (2, 3, 2, 2)]),
    granularity=st.sampled_from(["tensor", "row", "group:1"]),
    bits=st.sampled_from([4, 8]),
)
def test_few_bits_mean_what_they_mean_in_torch(shape, granularity, bits) -> None:
    tensor = to_integers(torch.randn(shape), bits, granularity)
    codes = pack_codes(tensor.codes, tensor.base).numpy()
    matrix = coded_matrix("w", shape, codes, tensor.scale_RG.numpy(), bits)
    assert matrix.codes is codes
    assert matrix.scale_OG is not None
    codes_OGI = codes_of(matrix).reshape(*matrix.scale_OG.shape, -1).astype(np.float32)
    dense_OI = (codes_OGI * matrix.scale_OG[:, :, None]).reshape(matrix.shape)
    assert torch.equal(torch.from_numpy(dense_OI), tensor.dense().flatten(1))


def test_ternary_codes_stay_as_they_lie() -> None:
    tensor = ternarize(torch.randn(4, 3, 2), "mse", "tensor")
    codes = pack_codes(tensor.codes).numpy()
    matrix = coded_matrix("w", (4, 3, 2), codes, tensor.scale_RG.numpy(), None)
    assert matrix.codes is codes
    assert matrix.scale_OG is not None
    assert matrix.scale_OG.shape == (4, 1)
    assert matrix.shape == (4, 6)


@pytest.mark.parametrize("bits", [None, 4, 8])
@pytest.mark.parametrize(
    ("shape", "num_bytes", "scales", "message"),
    [
        ((4, 6), 3, (4, 1), "codes"),
        ((4,), None, (4, 1), "codes"),
        ((4, 0), 0, (4, 1), "codes"),
        ((4, 6), None, (3, 1), "scales"),
        ((4, 6), None, (4, 4), "scales"),
        ((4, 6), None, (1, 2), "scales"),
        ((4, 6), None, (4, 0), "scales"),
    ],
)
def test_what_does_not_fit_is_refused(bits, shape, num_bytes, scales, message) -> None:
    base = 3 if bits is None else 2**bits
    codes = pack_codes(torch.zeros(shape, dtype=torch.int8), base).numpy()
    codes = codes if num_bytes is None else codes[:num_bytes]
    with pytest.raises(ValueError, match=f"the {message} of w do not fit its shape"):
        coded_matrix("w", shape, codes, np.ones(scales, np.float32), bits)


def test_a_negative_scale_is_refused() -> None:
    codes = pack_codes(torch.zeros(4, 6, dtype=torch.int8)).numpy()
    with pytest.raises(ValueError, match="a scale of w is negative"):
        coded_matrix("w", (4, 6), codes, np.array([[1], [0], [-1e-6], [1]], np.float32), None)
