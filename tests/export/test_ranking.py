"""What comes first, among texts that can be told apart."""

from collections.abc import Callable
from pathlib import Path

import torch

from tclip.export.ranking import compared_on, distinct_texts, same_first
from tclip.models.load import load_dense
from tests.tiny import MAX_TOKENS


def test_texts_with_the_same_tokens_are_taken_once_in_order(tiny_folder: Callable[[str], Path]) -> None:
    tokenize = load_dense(str(tiny_folder("clip"))).tokenize
    long = "word " * MAX_TOKENS
    texts = ["a cat", "a dog", "A cat", "", "a dog", f"{long}cat", "a cat ", f"{long}dog", "a cat a"]
    assert distinct_texts(texts, tokenize) == ["a cat", "a dog", "", f"{long}cat", "a cat a"]


def test_the_share_is_that_of_images_with_the_same_text_in_front() -> None:
    text_LE = torch.eye(3)
    one_BE, other_BE = text_LE[[0, 1, 2, 0]], text_LE[[0, 1, 2, 1]]
    assert same_first((one_BE, text_LE), (other_BE, text_LE)) == 0.75
    assert same_first((one_BE, text_LE), (one_BE, text_LE)) == 1


def test_one_text_is_nothing_to_rank() -> None:
    answers = torch.eye(3), torch.eye(3)[:1]
    assert same_first(answers, answers) is None
    assert compared_on(3, 1) == "3 images and one text, which leaves nothing to rank"
    assert compared_on(3, 2) == "3 images and 2 texts"
