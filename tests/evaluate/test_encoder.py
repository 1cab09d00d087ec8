import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tclip.errors import ModelError
from tclip.evaluate.encoder import ClipEncoder, batched, embed, embed_all, embed_all_texts


@given(st.lists(st.integers()), st.integers(1, 7))
def test_batches_hold_everything_in_order(items, size):
    found = list(batched(iter(items), size))
    assert [item for batch in found for item in batch] == items
    assert all(len(batch) == size for batch in found[:-1])


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_embeddings_of_any_kind_become_float32(kind):
    def function(items):
        return kind(np.array([[item, 1.0] for item in items], np.float64))

    found = embed_all(function, [1, 2, 3], 2)
    assert found.dtype == torch.float32
    assert found.tolist() == [[1, 1], [2, 1], [3, 1]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(ModelError, match="not finite"):
        embed(lambda items: torch.tensor([[1.0, value]]), ["x"])


@given(st.lists(st.sampled_from("abcd"), min_size=1), st.integers(1, 4))
def test_equal_texts_have_one_embedding_whatever_is_beside_them(texts, size):
    class Neighbourly:
        """Its embeddings depend on the batch, as those of real models do in the last bits."""

        def embed_images(self, images):
            raise AssertionError

        def embed_texts(self, batch):
            assert len(set(batch)) == len(batch) <= size
            return torch.tensor([[ord(text), 1.0 + len(batch) + place] for place, text in enumerate(batch)])

    found = embed_all_texts(Neighbourly(), texts, size)
    assert found[:, 0].tolist() == [ord(text) for text in texts]
    assert len({tuple(row) for row in found.tolist()}) == len(set(texts))


def test_a_clip_is_adapted_without_gradients():
    class Clip:
        weight = torch.ones(1, requires_grad=True)
        logit_scale = 100.0

        def preprocess(self, images):
            return {"pixel_values": torch.tensor([[float(image.width)] for image in images])}

        def tokenize(self, texts, max_tokens=None):
            return {"input_ids": torch.tensor([[len(text), max_tokens or 77] for text in texts])}

        def embed_images(self, inputs):
            return inputs["pixel_values"] * self.weight

        def embed_texts(self, inputs):
            return inputs["input_ids"] * self.weight

    from PIL import Image

    encoder = ClipEncoder(Clip(), max_tokens=24)
    images = encoder.embed_images([Image.new("RGB", (5, 3))])
    assert images.tolist() == [[5.0]] and not images.requires_grad
    assert encoder.embed_texts(["abc"]).tolist() == [[3.0, 24.0]]
    assert ClipEncoder(Clip()).embed_texts(["abc"]).tolist() == [[3.0, 77.0]]
