"""Shapes of scales, and what they refuse."""

import pytest
import torch

from tclip.ternary.granularity import group_size, grouped, scale_shape
from tests.ternary.strategies import groups_of


@pytest.mark.parametrize(
    ("granularity", "weight_shape", "expected"),
    [
        ("tensor", (768, 512), (1, 1)),
        ("row", (768, 512), (768, 1)),
        ("group:64", (768, 512), (768, 8)),
        ("group:512", (768, 512), (768, 1)),
        ("group:1", (4, 6), (4, 6)),
        ("row", (768, 3, 16, 16), (768, 1)),
        ("group:256", (768, 3, 16, 16), (768, 3)),
        ("tensor", (7,), (1, 1)),
        ("row", (7,), (7, 1)),
    ],
)
def test_shapes(granularity, weight_shape, expected):
    assert scale_shape(granularity, weight_shape) == expected


@pytest.mark.parametrize(
    "text", ["", "rows", "Row", "group", "group:", "group:0", "group:-4", "group:4.0", "group:4 ", "row:4"]
)
def test_unknown_granularities_are_refused(text):
    with pytest.raises(ValueError, match=f'must be "tensor", "row" or "group:N", got "{text}"'):
        scale_shape(text, (4, 8))


def test_a_group_that_does_not_divide_a_row_is_refused():
    with pytest.raises(ValueError, match="group size 5 does not divide the row length 27"):
        scale_shape("group:5", (20, 3, 3, 3))


def test_the_size_of_a_group():
    assert [group_size(text) for text in ("tensor", "row", "group:12")] == [None, None, 12]


@pytest.mark.parametrize("granularity", ["tensor", "row", "group:1", "group:2", "group:3", "group:6"])
def test_a_group_holds_neighbours_of_one_row(granularity):
    weight = torch.arange(24.0).reshape(4, 6)
    expected = [[weight[place].item() for place in group] for group in groups_of(weight, granularity)]
    assert grouped(weight, granularity).flatten(0, 1).tolist() == expected
