"""Rankings of images for queries, and the choice of queries."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tclip.data.eval_sets import open_eval
from tclip.evaluate.subject import Subject
from tclip.progress import Collected
from tclip.report.queries import average_overlap, choose, rank_images, search_set
from tests.data.making import class_members, multilabel_members, pair_members, picture, write_layout

rankings = st.integers(2, 6).flatmap(
    lambda k: st.tuples(*[st.permutations(range(8)).map(lambda order: order[:k]) for _ in range(2)])
)


@given(rankings)
def test_average_overlap_is_the_mean_of_shares_in_common(pair: tuple[list[int], list[int]]) -> None:
    one, other = (ranking[: min(map(len, pair))] for ranking in pair)
    depths = range(1, len(one) + 1)
    slow = sum(len(set(one[:d]) & set(other[:d])) / d for d in depths) / len(depths)
    found = average_overlap(torch.tensor([one]), torch.tensor([other]))
    assert found.tolist() == pytest.approx([slow])


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=12), st.integers(1, 8))
def test_half_of_the_queries_agree_most_and_half_differ_most(overlaps: list[float], num: int) -> None:
    alike, apart = choose(torch.tensor(overlaps), num)
    assert len(alike) + len(apart) == min(num, len(overlaps)) == len({*alike, *apart})
    assert len(alike) == min(num, len(overlaps)) // 2
    others = [overlap for query, overlap in enumerate(overlaps) if query not in (*alike, *apart)]
    assert all(overlaps[query] >= other for query in alike for other in others)
    assert all(overlaps[query] <= other for query in apart for other in others)


def test_of_equal_images_the_first_comes_first() -> None:
    query_QE, image_NE = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0], [1, 0], [0.5, 0]])
    assert rank_images(query_QE, image_NE).tolist() == [[1, 0, 2]]


class ByPixels:
    """Embeds picture n, and a text that ends with n, as the n-th axis; `shift` turns pictures on."""

    def __init__(self, form: str, shift: int = 0) -> None:
        from tclip.data.screen import decode

        self.known = {decode(picture(n, form)).tobytes(): n for n in range(8)}
        self.shift = shift

    def embed_images(self, images: list[Image.Image]) -> np.ndarray:
        return np.eye(8, dtype=np.float32)[[(self.known[i.tobytes()] + self.shift) % 8 for i in images]]

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        return np.eye(8, dtype=np.float32)[[int(text.split()[-1]) for text in texts]]


def subjects(form: str) -> list[Subject]:
    return [
        Subject("m", name, "", lambda shift=shift: ByPixels(form, shift))
        for name, shift in (("original", 0), ("packed", 1))
    ]


def test_captions_are_the_queries_of_a_retrieval_set(tmp_path: Path) -> None:
    write_layout(tmp_path, {"test": [pair_members(range(8))]}, dataset_type="retrieval")
    found = search_set(
        open_eval(str(tmp_path)), subjects("JPEG"), limit=6, batch_size=4, progress=Collected()
    )
    assert found.queries == found.about == [f"picture {n}" for n in range(6)]
    assert found.right == [frozenset({n}) for n in range(6)]
    assert found.rankings["original"][:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert found.rankings["packed"][1:, 0].tolist() == [0, 1, 2, 3, 4]
    assert [image.size for image in found.images] == [(24, 18)] * 6


def test_class_names_are_the_queries_of_a_classification_set(tmp_path: Path) -> None:
    write_layout(
        tmp_path,
        {"test": [class_members([1, 0, 1])]},
        classnames="class 0\nclass 1\n",
        zeroshot_classification_templates="a {c}\n",
    )
    found = search_set(open_eval(str(tmp_path)), subjects("PNG"), limit=9, batch_size=2, progress=Collected())
    assert found.queries == ["class 0", "class 1"]
    assert found.about == ["class 1", "class 0", "class 1"]
    assert found.right == [frozenset({1}), frozenset({0, 2})]
    assert found.rankings["original"].tolist() == [[0, 1, 2], [1, 0, 2]]


def test_classes_that_no_image_shows_are_no_queries(tmp_path: Path) -> None:
    write_layout(
        tmp_path,
        {"test": [class_members([2, 0, 1])]},
        classnames="class 0\nclass 1\nclass 2\nclass 3\n",
        zeroshot_classification_templates="a {c}\n",
    )
    found = search_set(open_eval(str(tmp_path)), subjects("PNG"), limit=2, batch_size=2, progress=Collected())
    assert found.queries == ["class 0", "class 2"]
    assert found.right == [frozenset({1}), frozenset({0})]
    assert found.rankings["original"].tolist() == [[0, 1], [0, 1]]
    assert found.about == ["class 2", "class 0"]


def test_an_image_may_show_several_classes(tmp_path: Path) -> None:
    write_layout(
        tmp_path,
        {"test": [multilabel_members([[1, 1], [0, 0], [0, 1]])]},
        classnames="class 0\nclass 1\n",
        zeroshot_classification_templates="a {c}\n",
        dataset_type="multilabel",
    )
    found = search_set(open_eval(str(tmp_path)), subjects("PNG"), limit=9, batch_size=2, progress=Collected())
    assert found.about == ["class 0, class 1", "", "class 1"]
    assert found.right == [frozenset({0}), frozenset({0, 2})]
