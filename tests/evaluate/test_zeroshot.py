import pytest
import torch

from tclip.evaluate.outcomes import metrics_of
from tclip.evaluate.zeroshot import build_classifier, classify


def unit(x):
    return torch.nn.functional.normalize(x, dim=-1)


class Words:
    """Embeds a text by its number, with a length that must not matter."""

    def __init__(self, table):
        self.table = table
        self.sizes = []

    def embed_images(self, images):
        raise AssertionError("a classifier needs no images")

    def embed_texts(self, texts):
        self.sizes.append(len(texts))
        return self.table[[int(text) for text in texts]]


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_a_class_is_the_mean_of_its_prompts(batch_size):
    table = unit(torch.randn(6, 5, generator=torch.Generator().manual_seed(0)))
    encoder = Words(table)
    found = build_classifier(encoder, [["0", "1"], ["2"], ["3", "4", "5"]], batch_size)
    expected = [unit(table[rows].mean(0)) for rows in ([0, 1], [2], [3, 4, 5])]
    torch.testing.assert_close(found, torch.stack(expected))
    assert max(encoder.sizes) <= batch_size


def slow_metrics(image, classifier, labels):
    hits, hits5, by_class = 0, 0, {}
    for embedding, label in zip(image, labels.tolist(), strict=True):
        scores = (classifier @ embedding).tolist()
        order = sorted(range(len(scores)), key=lambda c: (-scores[c], c))
        hits += order[0] == label
        hits5 += label in order[:5]
        by_class.setdefault(label, []).append(order[0] == label)
    recall = [sum(found) / len(found) for found in by_class.values()]
    return {
        "acc1": hits / len(labels),
        "acc5": hits5 / len(labels),
        "mean_per_class_recall": sum(recall) / len(recall),
    }


@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_those_of_slow_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    image, classifier = (unit(torch.randn(n, 4, generator=generator)) for n in (60, 8))
    labels = torch.randint(0, 6, (60,), generator=generator)  # two classes have no samples
    assert metrics_of(classify(image, classifier, labels)) == pytest.approx(
        slow_metrics(image, classifier, labels)
    )


def test_a_constant_model_gets_one_class_only():
    labels = torch.tensor([0] * 6 + [1] * 2)
    metrics = metrics_of(classify(torch.ones(8, 3), torch.ones(2, 3), labels))
    assert metrics == {"acc1": 0.75, "acc5": 1.0, "mean_per_class_recall": 0.5}
