"""Which form each weight gets within a size: the multiple-choice knapsack, solved exactly.

Weights are taken up one after the other. Of all ways to form those so far, only the Pareto-optimal ones are
kept: no other is as small and costs as little (Nemhauser and Ullmann 1969). Most of these go too: with the
Lagrangian price of size, what a beginning must cost in the end is bounded from below, and a
beginning that cannot beat a whole solution at hand is dropped.

S ways (states), C choices of a weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STEPS = 150  # of the search for the price: halving an interval so often leaves nothing of it
SLACK = 1e-9  # what rounding may add to a bound, as a share of all costs


@dataclass(frozen=True)
class Choice:
    """A form that a weight can have: its size, a whole number such as bytes, and its cost."""

    size: int
    cost: float


def solve(choices: Sequence[Sequence[Choice]], capacity: int) -> list[int]:
    """Return the index of the choice for each weight: least total cost, of sizes within the capacity.

    Args:
        choices: of each weight, at least one.
        capacity: most that the sizes may add up to.

    Raises:
        ValueError: even the smallest choices exceed the capacity.
    """
    least = sum(min(each.size for each in some) for some in choices)
    if least > capacity:
        raise ValueError(f"the smallest choices take {least}, more than {capacity}")
    tables = [_arrays(some) for some in choices]
    price = _price(tables, capacity)
    reached = sum(_at_price(table, price)[1] for table in tables)
    bounds = np.array([(table[1] + price * table[0]).min() for table in tables])
    slack = SLACK * float(sum(abs(table[1]).max() for table in tables))
    size_S, cost_S = np.zeros(1, np.int64), np.zeros(1)
    history = []
    for place, (size_C, cost_C) in enumerate(tables):
        rest = float(bounds[place + 1 :].sum()) - price * capacity
        smallest_rest = sum(int(table[0].min()) for table in tables[place + 1 :])
        total_SC = size_S[:, None] + size_C
        paid_SC = cost_S[:, None] + cost_C
        promising = paid_SC + price * total_SC + rest <= reached + slack
        kept = np.flatnonzero(promising & (total_SC <= capacity - smallest_rest))
        kept = kept[_undominated(total_SC.ravel()[kept], paid_SC.ravel()[kept])]
        size_S, cost_S = total_SC.ravel()[kept], paid_SC.ravel()[kept]
        history.append(kept)
    return _traced(history, int(cost_S.argmin()), [len(table[0]) for table in tables])


def _arrays(some: Sequence[Choice]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([each.size for each in some], np.int64), np.array([each.cost for each in some])


def _at_price(table: tuple[np.ndarray, np.ndarray], price: float) -> tuple[int, float]:
    """Return size and cost of a weight's best choice when size has a price; the smaller one of equals."""
    size_C, cost_C = table
    chosen = np.lexsort((size_C, cost_C + price * size_C))[0]
    return int(size_C[chosen]), float(cost_C[chosen])


def _price(tables: Sequence[tuple[np.ndarray, np.ndarray]], capacity: int) -> float:
    """Return nearly the smallest price at which the best choices fit the capacity."""
    spread = sum(float(np.ptp(cost_C)) for _, cost_C in tables)
    low, high = 0.0, 2 * spread + 1  # size that costs more than all there is to gain is never bought
    for _ in range(STEPS):
        middle = (low + high) / 2
        fits = sum(_at_price(table, middle)[0] for table in tables) <= capacity
        low, high = (low, middle) if fits else (middle, high)
    return high


def _undominated(size_S: np.ndarray, cost_S: np.ndarray) -> np.ndarray:
    """Return the places of the ways to which no other is equal or better in both, in the order of size."""
    order = np.lexsort((cost_S, size_S))
    lowest_before = np.minimum.accumulate(np.concatenate([[np.inf], cost_S[order][:-1]]))
    return order[cost_S[order] < lowest_before]


def _traced(history: Sequence[np.ndarray], last: int, num_choices: Sequence[int]) -> list[int]:
    chosen, state = [], last
    for kept, count in zip(reversed(history), reversed(num_choices), strict=True):
        state, choice = divmod(int(kept[state]), count)
        chosen.append(choice)
    return chosen[::-1]
