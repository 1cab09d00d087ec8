"""The knapsack against every combination there is, and against what a real model asks of it."""

import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tclip.calibrate.knapsack import Choice, solve

CHOICES = st.builds(Choice, st.integers(0, 30), st.floats(0, 10, width=16))
WEIGHTS = st.lists(st.lists(CHOICES, min_size=1, max_size=4), min_size=1, max_size=6)


def totals(choices, chosen):
    picked = [some[index] for some, index in zip(choices, chosen, strict=True)]
    return sum(each.size for each in picked), sum(each.cost for each in picked)


def least_cost(choices, capacity):
    every = (totals(choices, chosen) for chosen in product(*(range(len(some)) for some in choices)))
    return min((cost for size, cost in every if size <= capacity), default=None)


@settings(max_examples=300, deadline=None)
@given(WEIGHTS, st.integers(0, 120))
def test_as_good_as_the_best_of_all_combinations(choices, capacity):
    best = least_cost(choices, capacity)
    if best is None:
        with pytest.raises(ValueError, match="the smallest choices take"):
            solve(choices, capacity)
        return
    size, cost = totals(choices, solve(choices, capacity))
    assert size <= capacity
    assert cost == pytest.approx(best, abs=1e-7)


@settings(max_examples=100, deadline=None)
@given(WEIGHTS, st.floats(1e-9, 1e9))
def test_the_unit_of_costs_does_not_matter(choices, unit):
    capacity = sum(max(each.size for each in some) for some in choices) // 2
    capacity = max(capacity, sum(min(each.size for each in some) for some in choices))
    scaled = [[Choice(each.size, unit * each.cost) for each in some] for some in choices]
    best = totals(choices, solve(choices, capacity))[1]
    assert totals(choices, solve(scaled, capacity))[1] == pytest.approx(best, abs=1e-6)


def test_room_for_everything_gives_everything_its_best():
    choices = [[Choice(1, 3.0), Choice(9, 1.0), Choice(5, 1.0)], [Choice(2, 0.0)]]
    assert solve(choices, 100)[1] == 0
    assert totals(choices, solve(choices, 100))[1] == 1.0
    assert solve(choices, 3) == [0, 0]


def test_a_vit_l_is_solved_in_no_time():
    """36 blocks of 6 weights in three forms, bytes of their true sizes, costs as uneven as real ones."""
    random = np.random.default_rng(0)
    choices = []
    for _ in range(36):
        for count in (1024**2,) * 4 + (4 * 1024**2,) * 2:
            cost = float(random.lognormal(-8, 2))
            extra = int(random.integers(60, 90))  # the name in the header
            forms = [(count // 5, cost), (count // 2 + extra, cost / 12), (count + extra, cost / 3000)]
            choices.append([Choice(*form) for form in forms])
    least = sum(some[0].size for some in choices)
    start = time.perf_counter()
    for share in (1.01, 1.1, 1.5, 3.0):
        size, cost = totals(choices, solve(choices, int(share * least)))
        assert size <= share * least
        assert cost < sum(some[0].cost for some in choices)
    assert time.perf_counter() - start < 10
