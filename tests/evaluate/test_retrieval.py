import pytest
import torch

from tclip.evaluate.outcomes import metrics_of
from tclip.evaluate.retrieval import KS, retrieve


def slow_recalls(image, text, owner):
    """CLIP_benchmark's recall, query by query."""
    found = {}
    for k in KS:
        hits = [
            owner[t] in sorted(range(len(image)), key=lambda m: -float(text[t] @ image[m]))[:k]
            for t in range(len(text))
        ]
        found[f"image_retrieval_recall@{k}"] = sum(hits) / len(hits)
        hits = []
        for m in range(len(image)):
            best = sorted(range(len(text)), key=lambda t: -float(text[t] @ image[m]))[:k]
            hits.append(any(owner[t] == m for t in best))
        found[f"text_retrieval_recall@{k}"] = sum(hits) / len(hits)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_recalls_are_those_of_slow_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    owner = torch.arange(30).repeat_interleave(torch.randint(1, 4, (30,), generator=generator))
    image = torch.randn(30, 6, generator=generator)
    text = image[owner] + 1.5 * torch.randn(len(owner), 6, generator=generator)
    image, text = (torch.nn.functional.normalize(x, dim=-1) for x in (image, text))
    assert metrics_of(retrieve(image, text, owner)) == pytest.approx(
        slow_recalls(image, text, owner.tolist())
    )


def test_a_perfect_model_finds_all_and_a_constant_one_is_at_chance():
    owner = torch.arange(40).repeat_interleave(5)
    eye = torch.eye(40)
    assert set(metrics_of(retrieve(eye, eye[owner], owner)).values()) == {1.0}
    constant = metrics_of(retrieve(torch.ones(40, 2), torch.ones(200, 2), owner))
    assert constant["image_retrieval_recall@1"] == constant["text_retrieval_recall@1"] == 1 / 40
    assert constant["image_retrieval_recall@10"] == 10 / 40
