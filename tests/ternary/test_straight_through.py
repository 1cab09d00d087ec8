"""Block by block it is what it is in one piece, and what its formulas say."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tclip.ternary import straight_through
from tclip.ternary.straight_through import StraightThrough


def outcome(rows, groups, numbers, strength, seed):
    """Output and gradients for random weights, scales and thresholds."""
    generator = torch.Generator().manual_seed(seed)
    weight, wanted = torch.randn(2, rows, groups, numbers, generator=generator)
    scale = torch.rand(rows, groups, 1, generator=generator) + 0.1
    weight.requires_grad_()
    scale.requires_grad_()
    made = StraightThrough.apply(weight, scale, scale.detach() / 2, strength)
    (made * wanted).sum().backward()
    return made.detach(), weight.grad, scale.grad


@given(
    st.integers(1, 9),
    st.integers(1, 3),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.4, 1.0]),
    st.integers(0, 99),
)
def test_in_blocks_it_is_what_it_is_in_one_piece(rows, groups, numbers, strength, seed):
    whole = outcome(rows, groups, numbers, strength, seed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(straight_through, "BLOCK", 7)
        blocks = outcome(rows, groups, numbers, strength, seed)
    assert all(torch.equal(one, other) for one, other in zip(whole, blocks, strict=True))


@pytest.mark.parametrize(("rows", "lengths"), [(3, [3]), (4, [3, 1]), (7, [3, 3, 1])])
def test_what_is_larger_than_a_block_goes_in_several(monkeypatch, rows, lengths):
    monkeypatch.setattr(straight_through, "BLOCK", 7)
    tensors = torch.zeros(rows, 1, 2), torch.zeros(rows, 1, 1)
    blocks = list(straight_through._blocks(*tensors))
    assert [[len(part) for part in block] for block in blocks] == [[length] * 2 for length in lengths]


def test_the_weight_itself_is_not_changed():
    weight = torch.tensor([[[0.9, -0.2, -1.4]]], requires_grad=True)
    before = weight.detach().clone()
    scale = torch.ones(1, 1, 1, requires_grad=True)
    made = StraightThrough.apply(weight, scale, scale.detach() / 2, 1.0)
    made.backward(torch.ones_like(made))
    assert torch.equal(weight.detach(), before)
    assert made.flatten().tolist() == [1.0, 0.0, -1.0]
    # (1 - 0.9) + (0 + 0.2) + (-1): inside the clip T - w/s, outside T
    assert float(scale.grad) == pytest.approx(-0.7)


def test_no_gradient_of_the_scale_is_made_where_none_is_wanted(monkeypatch):
    weight, scale = torch.randn(3, 1, 4, requires_grad=True), torch.ones(3, 1, 1)
    total = StraightThrough.apply(weight, scale, scale / 2, 1.0).sum()

    def never(*tensors):
        raise AssertionError("the slopes of the scale were computed")

    monkeypatch.setattr(straight_through, "_blocks", never)
    total.backward()
    assert torch.equal(weight.grad, torch.ones(3, 1, 4))
