import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tclip.evaluate.confidence import BINS, confidences, expected_calibration_error


def slow_error(confidence, right):
    """Guo et al., 2017, equation 3, bin by bin."""
    error = 0.0
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        inside = [i for i, share in enumerate(confidence) if low < share <= high]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            sure = sum(confidence[i] for i in inside) / len(inside)
            error += len(inside) / len(confidence) * abs(accuracy - sure)
    return error


# no share within a rounding of a bin's edge
SHARES = st.floats(0.001, 0.999).filter(lambda share: abs(share * BINS - round(share * BINS)) > 1e-4)


@given(st.lists(st.tuples(SHARES, st.booleans()), min_size=1, max_size=30))
def test_the_error_is_that_of_slow_loops(samples):
    shares, right = zip(*samples, strict=True)
    found = expected_calibration_error(torch.tensor(shares), torch.tensor(right))
    assert found == pytest.approx(slow_error(shares, right), abs=1e-6)


def test_who_is_right_as_often_as_they_say_makes_no_error():
    right = torch.tensor([True, True, True, False])
    assert expected_calibration_error(torch.full((4,), 0.75), right) == pytest.approx(0)
    assert expected_calibration_error(torch.ones(4), right) == pytest.approx(0.25)
    assert expected_calibration_error(torch.ones(4), ~right) == pytest.approx(0.75)


def test_a_confidence_is_the_largest_share_of_the_softmax():
    image, classifier = (torch.nn.functional.normalize(torch.randn(n, 5), dim=-1) for n in (2100, 7))
    expected = [torch.softmax(20.0 * classifier @ each, dim=0).max().item() for each in image[:5]]
    found = confidences(image, classifier, 20.0)
    assert found.shape == (2100,)
    assert found[:5].tolist() == pytest.approx(expected)
    assert confidences(image, classifier, 0.0)[0].item() == pytest.approx(1 / 7)
