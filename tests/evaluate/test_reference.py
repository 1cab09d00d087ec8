"""The reference CLIP through stock transformers scores what its card says."""

from pathlib import Path

import pytest
import torch

from tclip.data.eval_sets import open_eval
from tclip.evaluate.run import evaluate


class Stock:
    """transformers' own classes and nothing of tclip's, as CLIP_benchmark would use them."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = CLIPImageProcessorPil.from_pretrained(folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def embed_images(self, images):
        inputs = self.processor(images=images, return_tensors="pt")
        return torch.nn.functional.normalize(self.model.get_image_features(**inputs).pooler_output, dim=-1)

    @torch.inference_mode()
    def embed_texts(self, texts):
        inputs = self.tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
        return torch.nn.functional.normalize(self.model.get_text_features(**inputs).pooler_output, dim=-1)


@pytest.fixture(scope="module")
def stock(shared):
    return Stock(shared / "models/ref-clip")


# The card: cifar10 81.1, clothing 82.8 over all test images, so a few hundred must come near.
@pytest.mark.shared
@pytest.mark.parametrize(("name", "card"), [("cifar10", 0.811), ("clothing", 0.828)])
def test_classification_comes_near_the_card(stock, shared, name, card):
    record, _ = evaluate(stock, open_eval(str(shared / "data" / name)), limit=256)
    assert record.metrics["acc1"] == pytest.approx(card, abs=0.08)


@pytest.mark.shared
def test_retrieval_is_far_above_chance(stock, shared):
    record, _ = evaluate(stock, open_eval(str(shared / "data/flickr8k")), limit=100)
    # 16.8 % among 1,000 images; among 100 it must be well above that, and chance is 1 %.
    assert 0.4 < record.metrics["image_retrieval_recall@1"] < 0.8
    assert record.metrics["image_retrieval_recall@1"] < record.metrics["image_retrieval_recall@5"]
