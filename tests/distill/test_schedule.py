import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tclip.distill import schedule
from tclip.distill.schedule import Budget, learning_rate, strength, ternary_share
from tclip.recipe.schema import Train

shares = st.floats(0, 1)
recipes = st.builds(
    lambda warmup, recovery, lr, low: Train(
        steps=10, warmup=warmup, recovery=recovery * (0.95 - warmup), lr=lr, recovery_lr=lr * low
    ),
    st.floats(0.01, 0.9),
    st.one_of(st.just(0.0), st.floats(0.05, 1)),
    st.floats(1e-6, 1),
    st.floats(1e-3, 1),
)


def test_landmarks():
    train = Train(steps=10, lr=1e-3, warmup=0.1, recovery=0.2, recovery_lr=1e-4)
    expected = {
        0.0: 1e-6,
        0.05: 5e-4,
        0.1: 1e-3,
        0.45: (1e-3 + 1e-4) / 2,  # half of the main cosine
        0.8: 1e-4,
        0.9: 0.5e-4,  # half of the recovery's
        1.0: 0.0,
    }
    for progress, rate in expected.items():
        assert learning_rate(progress, train) == pytest.approx(rate, abs=1e-12)


def test_without_recovery_one_cosine_to_zero():
    train = Train(steps=10, lr=1e-3, warmup=0, recovery=0, recovery_lr=1e-4)
    for progress in (0.0, 0.25, 0.5, 1.0):
        assert learning_rate(progress, train) == pytest.approx(
            1e-3 * (1 + math.cos(math.pi * progress)) / 2, abs=1e-12
        )


@given(st.integers(1, 10**6), st.floats(1e-4, 1), st.floats(0.1, 100))
def test_no_weight_goes_farther_than_its_path(steps, rate, path):
    train = Train(steps=steps, ternary_lr=rate, ternary_path=path)
    share = ternary_share(steps, train)
    assert 0 < share <= 1
    assert rate * share * steps == pytest.approx(min(path, rate * steps))


def test_without_a_path_or_before_steps_are_timed_the_rate_stays():
    assert ternary_share(10**6, Train(steps=10**6, ternary_lr=0.5)) == 1
    assert ternary_share(0, Train(minutes=1, ternary_lr=0.5, ternary_path=1)) == 1


def test_a_path_of_no_rate_is_refused():
    with pytest.raises(ValueError, match="ternary_path bounds ternary_lr"):
        Train(steps=1, ternary_path=3)


@given(recipes, shares)
def test_rate_stays_in_range(train, progress):
    assert 0 <= learning_rate(progress, train) <= max(train.lr, train.recovery_lr) * (1 + 1e-12)


@given(recipes, shares)
def test_rate_is_continuous(train, progress):
    near = min(1.0, progress + 1e-7)
    main = 1 - train.recovery - train.warmup
    steepest = math.pi / min(train.warmup, main, train.recovery or 1.0)
    jump = abs(learning_rate(near, train) - learning_rate(progress, train))
    assert jump <= train.lr * (steepest * 1e-7 + 1e-9)


@given(recipes, shares, shares)
def test_rate_only_falls_after_the_warm_up(train, one, other):
    early, late = (train.warmup + (1 - train.warmup) * x for x in sorted((one, other)))
    assert learning_rate(early, train) >= learning_rate(late, train) * (1 - 1e-9)


def test_strength_rises_to_one_and_stays():
    train = Train(steps=10, strength_warmup=0.4)
    assert [strength(x, train) for x in (0.0, 0.1, 0.4, 0.7)] == pytest.approx([0, 0.25, 1, 1])
    assert strength(0.0, Train(steps=10, strength_warmup=0)) == 1


def test_budget_in_steps():
    budget = Budget(steps=8, minutes=None, step=2)
    assert budget.progress == 0.25
    budget.step = 9
    assert budget.progress == 1
    assert budget.total_steps == 8


def test_budget_in_minutes(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: now[0]))
    budget = Budget(steps=None, minutes=2.0, step=0, seconds=30.0)
    now[0] = 90.0  # until there is something to train on
    assert not budget.started
    assert budget.elapsed == 30
    assert budget.progress == 0.25
    now[0] = 100.0
    budget.start()
    assert budget.started
    assert budget.total_steps == 0
    now[0] = 130.0
    budget.step = 10
    assert budget.elapsed == 60
    assert budget.progress == 0.5
    assert budget.total_steps == 20
    now[0] = 1000.0
    assert budget.progress == 1
