"""Int8 activations against numpy, token by token and patch by patch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from tclip.ternary.activations import fake_int8, fake_int8_patches, quantize_activations


def gaussian(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rounded(values):
    """The reference: int8 codes of one token, and back."""
    scale = np.float32(np.abs(values).max() / 127)
    if scale == 0:
        return values
    codes = np.round(values / scale)
    assert np.abs(codes).max() <= 127
    return (codes * scale).astype(np.float32)


@given(st.integers(0, 2**16), st.sampled_from([(4,), (3, 4), (2, 3, 4), (2, 2, 2, 5)]))
def test_each_token_has_its_own_scale(seed, shape):
    x = gaussian(seed, *shape)
    found = fake_int8(x).numpy().reshape(-1, shape[-1])
    for token, expected in zip(found, x.numpy().reshape(-1, shape[-1]), strict=True):
        # a value half way between two codes may go either way: 1 ulp of the scale decides
        assert np.abs(token - rounded(expected)).max() <= 1.01 * np.abs(expected).max() / 127
        assert np.abs(token - expected).max() <= 0.5001 * np.abs(expected).max() / 127


def test_known_values():
    x = torch.tensor([[127.0, 1.4, -2.6, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert torch.equal(fake_int8(x), torch.tensor([[127.0, 1.0, -3.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))


def test_rounding_what_is_rounded_changes_nothing():
    x = fake_int8(gaussian(0, 5, 8))
    assert torch.allclose(fake_int8(x), x, atol=1e-6)


@pytest.mark.parametrize("size", [(4, 4), (6, 4), (5, 7)])
def test_each_patch_has_its_own_scale(size):
    patch, image = 2, gaussian(0, 2, 3, *size)
    found = fake_int8_patches(image, patch)
    assert found.shape == image.shape
    for b in range(2):
        for top in range(0, size[0] - patch + 1, patch):
            for left in range(0, size[1] - patch + 1, patch):
                place = (b, slice(None), slice(top, top + patch), slice(left, left + patch))
                token = image[place].reshape(1, -1)
                assert torch.allclose(found[place].reshape(1, -1), fake_int8(token), atol=1e-6)


@pytest.mark.parametrize("function", [fake_int8, lambda x: fake_int8_patches(x, 2)])
def test_the_gradient_passes_straight_through(function):
    x, wanted = gaussian(0, 1, 3, 4, 4).requires_grad_(), gaussian(1, 1, 3, 4, 4)
    (function(x) * wanted).sum().backward()
    assert torch.equal(x.grad, wanted)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "linear": nn.Linear(6, 4),
            "other": nn.Linear(6, 4),
            "embedding": nn.Embedding(5, 6),
            "patches": nn.Conv2d(3, 6, 2, 2),
            "attention": nn.MultiheadAttention(6, 2, batch_first=True),
        }
    )


def test_inputs_of_ternary_layers_are_rounded_until_the_handles_are_removed(model):
    x, image = gaussian(0, 2, 3, 6), gaussian(1, 1, 3, 4, 4)
    plain = model["linear"](x), model["patches"](image), model["attention"](x, x, x)[0]
    names = ("linear.weight", "embedding.weight", "patches.weight", "attention.in_proj_weight")
    handles = quantize_activations(model, names)
    y, patches = fake_int8(x), fake_int8_patches(image, 2)
    assert_close(model["linear"](x), nn.functional.linear(y, model["linear"].weight, model["linear"].bias))
    assert_close(model["linear"](input=x), model["linear"](x))
    assert_close(model["other"](x), nn.functional.linear(x, model["other"].weight, model["other"].bias))
    assert_close(model["embedding"](torch.tensor([1])), model["embedding"].weight[1:2])
    convolved = nn.functional.conv2d(patches, model["patches"].weight, model["patches"].bias, 2)
    assert_close(model["patches"](image), convolved)
    attended = model["attention"](x, key=x, value=x)[0]
    for handle in handles:
        handle.remove()
    assert_close(attended, model["attention"](y, y, y)[0])
    again = model["linear"](x), model["patches"](image), model["attention"](x, x, x)[0]
    assert_close(again, plain)
