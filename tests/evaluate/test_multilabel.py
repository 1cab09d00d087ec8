import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tclip.evaluate.multilabel import multilabel_scores, multilabel_units, rank_pictures
from tclip.evaluate.outcomes import metrics_of


def slow_average_precision(scores, targets):
    """The mean, over pictures that show the class, of the precision down to each."""
    order = sorted(range(len(scores)), key=lambda picture: (-scores[picture], picture))
    found, precisions = 0, []
    for seen, picture in enumerate(order, 1):
        if targets[picture]:
            found += 1
            precisions.append(found / seen)
    return sum(precisions) / max(len(precisions), 1)


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 999))
def test_the_metric_is_that_of_slow_loops(num, num_classes, seed):
    generator = torch.Generator().manual_seed(seed)
    # few different numbers, so that ties abound
    image = torch.randint(-1, 2, (num, 3), generator=generator).float()
    classifier = torch.randint(-1, 2, (num_classes, 3), generator=generator).float()
    target = torch.randint(0, 2, (num, num_classes), generator=generator)
    scores = (image @ classifier.T).T.tolist()
    slow = [slow_average_precision(*each) for each in zip(scores, target.T.tolist(), strict=True)]
    found = metrics_of(rank_pictures(image, classifier, target))
    assert set(found) == {"mean_average_precision"}
    assert np.isclose(found["mean_average_precision"], sum(slow) / num_classes)


def slow_weighted(places, targets, weights):
    """As above, where pictures drawn several times stand at one place, and precision is taken behind them."""
    order = sorted(range(len(places)), key=lambda picture: places[picture])
    seen = found = total = 0
    for picture in order:
        seen += weights[picture]
        found += weights[picture] * targets[picture]
        if seen:
            total += weights[picture] * targets[picture] * found / seen
    return total / max(found, 1)


def test_resamples_are_scored_by_how_often_they_hold_a_picture():
    generator = np.random.default_rng(0)
    image, classifier = torch.randn(9, 3), torch.randn(2, 3)
    outcome = rank_pictures(image, classifier, torch.tensor(generator.integers(0, 2, (9, 2))))
    weights = generator.multinomial(9, [1 / 9] * 9, size=20)
    found = multilabel_scores(multilabel_units(outcome), weights)["mean_average_precision"]
    slow = [
        np.mean([slow_weighted(outcome["place"][:, c], outcome["target"][:, c], row) for c in range(2)])
        for row in weights
    ]
    np.testing.assert_allclose(found, slow)


def test_a_perfect_ranking_scores_one_and_a_class_that_nothing_shows_nought():
    target = torch.tensor([[1, 0], [0, 0], [1, 0]])
    image, classifier = torch.tensor([[1.0], [0.0], [1.0]]), torch.tensor([[1.0], [1.0]])
    assert metrics_of(rank_pictures(image, classifier, target)) == {"mean_average_precision": 0.5}
