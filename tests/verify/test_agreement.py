"""Cosines and rankings against numbers done by hand."""

import math

import pytest
import torch

from tclip.verify.agreement import Answers, Limits, compare


def unit(*rows: tuple[float, float]) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


EXPECTED = Answers(unit((1, 0), (0, 1)), unit((1, 0), (0, 1), (1, 1)))


def test_the_same_answers_agree_wholly() -> None:
    agreement = compare(EXPECTED, EXPECTED)
    assert agreement.same_first == 1
    assert [agreement.image_mean, agreement.text_worst] == pytest.approx([1, 1])
    assert agreement.beyond(Limits(0.9999, 1.0)) == []


def test_means_and_worst_are_those_of_each_tower() -> None:
    turned = Answers(unit((1, 1), (0, 1)), unit((1, 0), (0, 1), (1, 0)))
    agreement = compare(turned, EXPECTED)
    half = math.sqrt(0.5)
    assert agreement.image_mean == pytest.approx((1 + half) / 2)
    assert agreement.image_worst == pytest.approx(half)
    assert agreement.text_mean == pytest.approx((2 + half) / 3)
    assert agreement.text_worst == pytest.approx(half)


def test_another_text_in_front_counts_and_every_problem_is_said() -> None:
    swapped = Answers(EXPECTED.image_BE.flip(0), EXPECTED.text_LE)
    agreement = compare(swapped, EXPECTED)
    assert agreement.same_first == 0
    problems = agreement.beyond(Limits(0.5, 0.5))
    assert problems == [
        "the mean cosine of images is 0.0000 (at least 0.5)",
        "0.0% of the images rank the same text first (at least 50.0%)",
    ]


def test_one_text_is_judged_by_cosines_alone() -> None:
    alone = Answers(EXPECTED.image_BE, EXPECTED.text_LE[:1])
    agreement = compare(alone, alone)
    assert agreement.same_first is None
    assert agreement.beyond(Limits(0.9999, 1.0)) == []


def test_nan_is_as_far_as_can_be() -> None:
    agreement = compare(Answers(EXPECTED.image_BE * math.nan, EXPECTED.text_LE), EXPECTED)
    assert (agreement.image_mean, agreement.image_worst) == (-1, -1)
    assert agreement.beyond(Limits(0.0, 0.0))
