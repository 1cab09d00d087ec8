import gc

import numpy as np
import pytest
import torch

from tclip.data.eval_sets import EvalSample, open_eval
from tclip.errors import DataError
from tclip.evaluate.run import evaluate
from tests.data.making import class_members, pair_members, picture, write_layout


def by_number(number):
    return np.eye(16, dtype=np.float32)[number]


class Oracle:
    """Knows picture n by its pixels, and its texts by the number in them."""

    def __init__(self, forms="PNG"):
        from tclip.data.screen import decode

        self.known = {decode(picture(n, forms)).tobytes(): n for n in range(16)}
        self.images = []

    def embed_images(self, images):
        self.images.append(len(images))
        return np.stack([by_number(self.known[image.tobytes()] % self.classes) for image in images])

    def embed_texts(self, texts):
        return torch.from_numpy(np.stack([by_number(int(text.split()[-1])) for text in texts]))

    classes = 16


@pytest.fixture
def pets(tmp_path):
    labels = [number % 3 for number in range(7)]
    return open_eval(
        str(
            write_layout(
                tmp_path / "pets",
                {"test": [class_members(labels[:4]), class_members(labels[4:], first=4)]},
                classnames="0\n1\n2\n",
                zeroshot_classification_templates="a {c}\nthe {c}\n",
            )
        )
    )


@pytest.fixture
def captioned(tmp_path):
    root = write_layout(
        tmp_path / "seen",
        {"test": [pair_members(range(6)), pair_members(range(6, 11))]},
        dataset_type="retrieval",
    )
    return open_eval(str(root))


class ByClass(Oracle):
    classes = 3


def test_classification(pets):
    encoder, told = ByClass(), []
    record = evaluate(encoder, pets, model="m", pretrained="packed", batch_size=3, progress=told.append)
    assert record.metrics == {"acc1": 1.0, "mean_per_class_recall": 1.0}
    assert (record.dataset, record.model, record.pretrained) == ("pets", "m", "packed")
    assert (record.task, record.num_samples) == ("zeroshot_classification", 7)
    assert encoder.images == [3, 3, 1] and told == [3, 6, 7]
    assert record.seconds > 0


def test_retrieval(captioned):
    record = evaluate(Oracle("JPEG"), captioned, batch_size=4)
    assert record.task == "zeroshot_retrieval"
    assert set(record.metrics.values()) == {1.0} and len(record.metrics) == 6
    assert record.num_samples == 11


def test_a_wrong_model_scores_low(captioned):
    class Wrong(Oracle):
        def embed_images(self, images):
            return np.roll(super().embed_images(images), 1, axis=1)

    # The first text is like no image, so all tie, and the first image is its own.
    assert evaluate(Wrong("JPEG"), captioned).metrics["image_retrieval_recall@1"] == 1 / 11


def test_a_limit_looks_at_the_first_only(pets, captioned):
    assert evaluate(ByClass(), pets, limit=5).num_samples == 5
    assert evaluate(Oracle("JPEG"), captioned, limit=3).num_samples == 3


def test_a_broken_test_image_stops_the_measurement(tmp_path):
    members = [*class_members([0]), ("x.jpg", b"<html>"), ("x.cls", b"1")]
    root = write_layout(
        tmp_path, {"test": [members]}, classnames="0\n1\n", zeroshot_classification_templates="a {c}\n"
    )
    with pytest.raises(DataError, match=r"test/0\.tar\[1\]/x cannot be decoded"):
        evaluate(ByClass(), open_eval(str(root)))


def test_an_empty_split_is_an_error(tmp_path):
    root = write_layout(tmp_path, {"test": [[]]}, dataset_type="retrieval")
    with pytest.raises(DataError, match="has no samples in test"):
        evaluate(Oracle(), open_eval(str(root)))


def test_images_do_not_pile_up(pets):
    held = []

    def count(done):
        gc.collect()
        held.append(sum(bool(found.image_bytes) for found in gc.get_objects() if type(found) is EvalSample))

    evaluate(ByClass(), pets, batch_size=1, progress=count)
    assert max(held) <= 3  # the batch at hand and the one made ahead
