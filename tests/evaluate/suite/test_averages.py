"""What counts, and which tasks tell models from each other."""

import pytest

from tclip.evaluate.suite.averages import is_above_chance, is_discriminative, main_metrics, main_score

from .making import record

RECALLS = {"image_retrieval_recall@1": 0.2, "text_retrieval_recall@1": 0.4, "text_retrieval_recall@5": 1.0}


@pytest.mark.parametrize(
    ("dataset", "metrics", "task", "score"),
    [
        ("mnist", {"acc1": 0.5, "mean_per_class_recall": 0.7}, "zeroshot_classification", 0.5),
        ("vtab/pets", {"acc1": 0.5, "mean_per_class_recall": 0.7}, "zeroshot_classification", 0.7),
        ("wds_vtab-pets", {"acc1": 0.5, "mean_per_class_recall": 0.7}, "zeroshot_classification", 0.7),
        ("my-own", {"acc1": 0.5, "mean_per_class_recall": 0.7}, "zeroshot_classification", 0.5),
        ("voc2007_multilabel", {"mean_average_precision": 0.6}, "zeroshot_classification", 0.6),
        ("flickr8k", RECALLS, "zeroshot_retrieval", 0.3),
    ],
)
def test_the_main_score(dataset, metrics, task, score):
    found = record(dataset, task, metrics=metrics)
    assert main_score(found) == pytest.approx(score)
    assert set(main_metrics(found)) <= set(metrics)


def judged(acc1, recall, chance, num_samples):
    metrics = {"acc1": acc1, "mean_per_class_recall": recall}
    return is_above_chance(record(metrics=metrics, chance=chance, num_samples=num_samples))


@pytest.mark.parametrize(
    ("acc1", "recall", "chance", "num_samples", "expected"),
    [
        (0.633, 0.633, 0.001, 50_000, True),
        (0.59, 0.59, 0.5, 1821, True),
        (0.171, 0.171, 1 / 211, 21_100, True),
        (0.526, 0.526, 0.5, 1821, False),  # too near
        (0.54, 0.54, 0.5, 1_000_000, False),  # significant, and next to nothing
        (0.735, 0.2, 0.2, 42_670, False),  # always the commonest class
        (0.274, 0.406, 0.25, 711, False),  # only of rare classes
        (0.4, 0.4, 0.1, 20, False),  # few samples: 4.5 standard errors
        (0.5, 0.5, 0.1, 20, True),
    ],
)
def test_above_chance(acc1, recall, chance, num_samples, expected):
    assert judged(acc1, recall, chance, num_samples) is expected


def test_a_ranking_and_a_retrieval_are_judged_by_their_own_scores():
    by_map = [record(metrics={"mean_average_precision": score}, chance=0.07) for score in (0.1, 0.7)]
    assert [is_above_chance(each) for each in by_map] == [False, True]
    weak = {"image_retrieval_recall@1": 0.01, "text_retrieval_recall@1": 0.4}
    found = [record(task="zeroshot_retrieval", metrics=each, chance=0.001) for each in (weak, RECALLS)]
    assert [is_above_chance(each) for each in found] == [False, True]


def test_the_stored_list_is_asked_only_where_the_original_was_not_measured():
    assert is_discriminative("mnist", {}) and is_discriminative("my-own", {})
    assert not is_discriminative("vtab/dmlab", {}) and not is_discriminative("wds_vtab-dmlab", {})
    metrics = {"acc1": 0.1, "mean_per_class_recall": 0.1}
    assert is_discriminative("vtab/dmlab", {"vtab/dmlab": record("vtab/dmlab")})
    assert not is_discriminative("mnist", {"mnist": record("mnist", metrics=metrics)})
    assert is_discriminative("mnist", {"mnist": record("mnist", metrics=metrics, chance=None)})
