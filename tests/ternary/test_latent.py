"""Training weights against their formulas, written out number by number."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tclip.ternary.latent import (
    LEAST_MARGIN,
    LatentTernary,
    attach,
    detach,
    into_cells,
    latent_weights,
    owner,
    set_strength,
    ternary_tensors,
)
from tclip.ternary.quantizers import ternarize
from tclip.ternary.tensor import TernaryTensor
from tests.ternary.strategies import GRANULARITIES, QUANTIZER_NAMES, groups_of

RULES = [name for name in QUANTIZER_NAMES if name != "learned"]


def gaussian(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def model():
    """Every kind of module that may hold a ternary weight."""
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "linear": nn.Linear(6, 4),
            "embedding": nn.Embedding(5, 6),
            "patches": nn.Conv2d(3, 6, 2, 2, bias=False),
            "attention": nn.MultiheadAttention(6, 2),
        }
    )


NAMES = ("linear.weight", "embedding.weight", "patches.weight", "attention.in_proj_weight")


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("quantizer", QUANTIZER_NAMES)
def test_full_strength_is_the_ternary_weight_and_none_the_latent_one(quantizer, granularity):
    weight = gaussian(0, 4, 6)
    latent = LatentTernary(weight, quantizer, granularity)
    expected = ternarize(weight, quantizer, granularity).dense()
    assert torch.allclose(latent(weight), expected, rtol=1e-5)
    latent.strength = 0.0
    assert torch.equal(latent(weight), weight)
    latent.strength = 0.25
    assert torch.allclose(latent(weight), weight + 0.25 * (expected - weight), atol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("quantizer", RULES)
def test_the_gradient_passes_straight_through(quantizer, strength):
    weight, wanted = gaussian(0, 4, 6).requires_grad_(), gaussian(1, 4, 6)
    latent = LatentTernary(weight, quantizer, "row")
    latent.strength = strength
    (latent(weight) * wanted).sum().backward()
    assert torch.equal(weight.grad, wanted)


@given(st.sampled_from(GRANULARITIES), st.sampled_from([0.5, 1.0]), st.integers(0, 2**16))
def test_the_scales_gradient_is_lsqs(granularity, strength, seed):
    weight, wanted = gaussian(seed, 4, 6), gaussian(seed + 1, 4, 6)
    latent = LatentTernary(weight, "learned", granularity)
    latent.strength = strength
    (latent(weight) * wanted).sum().backward()
    groups = groups_of(weight, granularity)
    for log_scale, found, group in zip(
        latent.log_scale_RG.detach().flatten(), latent.log_scale_RG.grad.flatten(), groups, strict=True
    ):
        scale, slope = float(log_scale.exp()), 0.0
        for place in group:
            ratio = float(weight[place]) / scale
            code = 0 if abs(ratio) <= 0.5 else 1 if ratio > 0 else -1
            slope += float(wanted[place]) * (code - (ratio if abs(ratio) < 1 else 0))
        # d/d(log s) = s d/ds
        assert float(found) == pytest.approx(strength * slope * scale, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_a_start_keeps_its_codes_and_scales(granularity):
    layer, start = nn.Linear(6, 4), ternarize(gaussian(1, 4, 6), "mse", granularity)
    attach(layer, {"weight": start}, "learned", granularity, margin=0.02)
    found = ternary_tensors(layer)["weight"]
    assert torch.equal(found.codes, start.codes)
    assert torch.allclose(found.scale_RG, start.scale_RG, rtol=1e-6)
    assert found.granularity == start.granularity


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_without_a_margin_too_no_code_is_lost_to_rounding(granularity):
    layer, start = nn.Linear(60, 40), ternarize(gaussian(1, 40, 60), "mse", granularity)
    attach(layer, {"weight": start}, "learned", granularity, margin=0.0)
    assert torch.equal(ternary_tensors(layer)["weight"].codes, start.codes)


@given(
    st.integers(0, 2**16),
    st.sampled_from(["tensor", "row", "group:3"]),
    st.sampled_from([0.0, 0.02, 0.25, 0.5]),
)
def test_a_latent_weight_moves_no_further_than_its_codes_cell(seed, granularity, margin):
    weight, start = gaussian(seed, 4, 6), ternarize(gaussian(seed + 1, 4, 6), "mse", granularity)
    moved = into_cells(weight, start, margin)
    kept = max(margin, LEAST_MARGIN)
    low, high = 0.5 - kept, 0.5 + kept
    for scale, group in zip(start.scale_RG.flatten(), groups_of(weight, granularity), strict=True):
        for place in group:
            ratio, code = float(moved[place] / scale), int(start.codes[place])
            assert (0 if abs(ratio) <= 0.5 else 1 if ratio > 0 else -1) == code
            original = float(weight[place] / scale)
            inside = {0: abs(original) <= low, 1: original >= high, -1: original <= -high}[code]
            if inside:
                assert moved[place] == pytest.approx(float(weight[place]), rel=1e-5)
            else:
                assert abs(ratio) == pytest.approx(high if code else low, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("quantizer", QUANTIZER_NAMES)
def test_every_kind_of_module_trains_and_comes_back_plain(model, quantizer):
    plain = {name: type(module) for name, module in model.items()}
    attach(model, dict.fromkeys(NAMES), quantizer, "row")
    assert tuple(name for name, _, _ in latent_weights(model)) == NAMES
    image, tokens = gaussian(2, 1, 3, 2, 2), torch.tensor([[0, 3, 4]])
    x = model["embedding"](tokens) + model["patches"](image).flatten(1)[:, None]
    loss = model["linear"](model["attention"](x, x, x)[0]).square().sum()
    loss.backward()
    assert all(weight.grad.abs().sum() > 0 for _, _, weight in latent_weights(model))
    expected = ternary_tensors(model)
    tensors = detach(model)
    assert {name: type(module) for name, module in model.items()} == plain
    for name in NAMES:
        module, attribute = owner(model, name)
        assert isinstance(getattr(module, attribute), nn.Parameter)
        assert torch.equal(tensors[name].codes, expected[name].codes)
        assert torch.equal(getattr(module, attribute), tensors[name].dense())


def test_what_was_attached_detached_and_attached_again_has_not_changed(model):
    attach(model, dict.fromkeys(NAMES), "learned", "row")
    first = detach(model)
    attach(model, first, "learned", "row", margin=0.02)
    second = detach(model)
    for name in NAMES:
        assert torch.equal(first[name].codes, second[name].codes)
        assert torch.allclose(first[name].scale_RG, second[name].scale_RG, rtol=1e-6)


def test_strength_reaches_every_weight(model):
    attach(model, dict.fromkeys(NAMES), "clip2", "row")
    set_strength(model, 0.5)
    assert [latent.strength for _, latent, _ in latent_weights(model)] == [0.5] * len(NAMES)


def test_a_row_of_zeros_stays_finite():
    layer = nn.Linear(6, 4)
    start = TernaryTensor(torch.zeros(4, 6, dtype=torch.int8), torch.zeros(4, 1))
    attach(layer, {"weight": start}, "learned", "row", margin=0.02)
    layer(torch.ones(2, 6)).sum().backward()
    assert torch.isfinite(layer.parametrizations.weight.original.grad).all()
    assert torch.isfinite(layer.parametrizations.weight[0].log_scale_RG.grad).all()
    assert not detach(layer)["weight"].codes.any()
