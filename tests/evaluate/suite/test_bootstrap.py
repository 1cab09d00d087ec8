"""The paired bootstrap against plain resampling, and how often its intervals hold."""

import numpy as np
import pytest

from tclip.errors import DataError
from tclip.evaluate.outcomes import metrics_of
from tclip.evaluate.suite import bootstrap
from tclip.evaluate.suite.bootstrap import interval, paired_differences

from .making import classified, retrieved


def plain_differences(one, other, resamples, seed):
    """Samples drawn one by one."""
    generator, num = np.random.default_rng(seed), len(one["label"])
    drawn = []
    for _ in range(resamples):
        chosen = generator.integers(0, num, num)
        scores = [metrics_of({name: array[chosen] for name, array in each.items()}) for each in (one, other)]
        drawn.append({metric: scores[1][metric] - scores[0][metric] for metric in scores[0]})
    return {metric: np.array([each[metric] for each in drawn]) for metric in drawn[0]}


def test_it_draws_as_plain_resampling_does():
    one, other = classified(0.6, num=150, seed=1), classified(0.7, num=150, seed=2)
    plain, found = plain_differences(one, other, 1000, 3), paired_differences(one, other, "x")
    for metric in ("acc1", "mean_per_class_recall"):
        assert np.mean(found[metric]) == pytest.approx(np.mean(plain[metric]), abs=0.006)
        assert np.std(found[metric]) == pytest.approx(np.std(plain[metric]), rel=0.1)
        np.testing.assert_allclose(interval(found[metric]), interval(plain[metric]), atol=0.02)


def test_the_error_of_a_difference_is_that_of_paired_proportions():
    one, other = classified(0.6, num=2000, seed=1), classified(0.6, num=2000, seed=2)
    found = paired_differences(one, other, "x")["acc1"]
    gap = (other["rank"] == 0).astype(float) - (one["rank"] == 0)
    assert np.std(found) == pytest.approx(gap.std() / np.sqrt(2000), rel=0.06)


def test_images_are_drawn_with_all_their_texts():
    # texts of an image agree, so that their recall is as unsure as if each image had one text
    one, other = (retrieved(right, texts=1, seed=seed) for right, seed in ((0.5, 1), (0.6, 2)))
    tripled = [
        {**each, "owner": np.repeat(each["owner"], 3), "image_rank": np.repeat(each["image_rank"], 3)}
        for each in (one, other)
    ]
    single = paired_differences(one, other, "x")["image_retrieval_recall@1"]
    found = paired_differences(*tripled, "x")["image_retrieval_recall@1"]
    assert np.std(found) == pytest.approx(np.std(single), rel=0.1)


def test_the_same_model_differs_by_nothing():
    for outcome in (classified(0.5), retrieved(0.5)):
        found = paired_differences(outcome, outcome, "x")
        assert all(not differences.any() for differences in found.values())


def test_draws_are_the_same_each_time_and_others_for_other_data(monkeypatch):
    one, other = classified(0.6, seed=1), classified(0.7, seed=2)
    first, again, elsewhere = (paired_differences(one, other, name)["acc1"] for name in ("x", "x", "y"))
    assert len(first) == bootstrap.RESAMPLES
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, elsewhere)
    monkeypatch.setattr(bootstrap, "MOST_WEIGHTS", 100)  # in many parts
    assert np.std(paired_differences(one, other, "x", 500)["acc1"]) == pytest.approx(np.std(first), rel=0.15)


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = 0
    for seed in range(60):
        one, other = classified(0.5, seed=seed), classified(0.55, seed=1000 + seed)
        low, high = interval(paired_differences(one, other, str(seed), 400)["acc1"])
        held += low <= 0.05 <= high
    assert 51 <= held <= 60  # 57 of 60 are expected


def test_measurements_of_other_samples_are_refused():
    with pytest.raises(DataError, match="on pets are not of the same samples"):
        paired_differences(classified(0.5), classified(0.5, num=399), "pets")
    with pytest.raises(DataError, match="not of the same samples"):
        paired_differences(classified(0.5), retrieved(0.5), "pets")
