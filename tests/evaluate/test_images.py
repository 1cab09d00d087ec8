"""Images become embeddings in batches, and are decoded a few at a time."""

import gc

import pytest
import torch

from tclip.data.eval_sets import EvalSample, open_eval
from tclip.data.screen import decode
from tclip.errors import DataError
from tclip.evaluate import images
from tclip.evaluate.encoder import ClipEncoder, image_tower
from tclip.evaluate.images import embed_images
from tclip.models import preprocessor
from tclip.models.load import load_dense
from tests.data.making import class_members, picture, write_layout


class Widths:
    """Embeds images as their widths, without preparation; remembers the size of its batches."""

    def __init__(self):
        self.batches = []

    def embed_images(self, pictures):
        self.batches.append(len(pictures))
        return torch.tensor([[float(each.width)] for each in pictures])

    def embed_texts(self, texts):
        raise AssertionError("images need no texts")


class Parted(Widths):
    """The same in two steps; remembers how many were prepared at once."""

    def __init__(self):
        super().__init__()
        self.prepared = []

    def prepare_images(self, pictures):
        self.prepared.append(len(pictures))
        return {"widths": torch.tensor([[float(each.width)] for each in pictures])}

    def embed_image_inputs(self, inputs):
        self.batches.append(len(inputs["widths"]))
        return inputs["widths"]

    prepare_texts = embed_text_inputs = Widths.embed_texts


def opened(folder, members):
    texts = {"classnames": "0\n1\n", "zeroshot_classification_templates": "a {c}\n"}
    return open_eval(str(write_layout(folder, {"test": [members]}, **texts)))


@pytest.fixture
def seven(tmp_path):
    """Seven pictures of 10 to 16 columns and 10 rows."""
    widths = range(10, 17)
    members = [(f"s{width}.{end}", data) for width in widths for end, data in of_width(width)]
    return opened(tmp_path / "seven", members)


def of_width(width):
    return [("png", picture(width, "PNG", (width, 10))), ("cls", b"0")]


@pytest.mark.parametrize("kind", [Widths, Parted])
@pytest.mark.parametrize("pixels", [1, 250, 1 << 20])
def test_batches_are_the_same_however_few_are_decoded_at_a_time(seven, kind, pixels, monkeypatch):
    monkeypatch.setattr(preprocessor, "HELD", pixels)
    encoder, told = kind(), []
    found = embed_images(encoder, seven, 3, None, told.append)
    assert found.embedding_ME[:, 0].tolist() == list(range(10, 17))
    assert encoder.batches == [3, 3, 1] and told == [3, 6, 7]
    assert [sample.key[-3:] for sample in found.samples] == [f"s{width}" for width in range(10, 17)]
    assert found.per_second > 0


@pytest.mark.parametrize(
    ("pixels", "expected"), [(1, [1] * 7), (250, [3, 2, 2]), (200, [2, 2, 2, 1]), (1 << 20, [7])]
)
def test_no_more_is_decoded_before_it_is_prepared_than_may_be_held(seven, monkeypatch, pixels, expected):
    monkeypatch.setattr(preprocessor, "HELD", pixels)
    encoder = Parted()
    embed_images(encoder, seven, 7, None, None)
    assert encoder.prepared == expected


@pytest.mark.parametrize("family", ["clip", "siglip2"])
def test_inputs_are_the_same_however_few_are_decoded_at_a_time(tiny_folder, monkeypatch, family):
    tower = image_tower(ClipEncoder(load_dense(str(tiny_folder(family)))))
    sizes = [(40, 30), (30, 40), (64, 64)]
    pictures = [decode(picture(number, "PNG", size)) for number, size in enumerate(sizes)]
    at_once = tower.prepare(pictures)
    monkeypatch.setattr(preprocessor, "HELD", 1)
    one_by_one = tower.prepare(iter(pictures))
    assert at_once.keys() == one_by_one.keys()
    assert all(torch.equal(at_once[name], one_by_one[name]) for name in at_once)


def test_images_are_told_by_their_bytes(tmp_path, seven):
    first = embed_images(Widths(), seven, 3, None, None).digest
    assert embed_images(Widths(), seven, 2, 7, None).digest == first
    assert embed_images(Widths(), seven, 3, 6, None).digest != first
    members = [(f"s{width}.{end}", data) for width in range(10, 17) for end, data in of_width(width + 1)]
    assert embed_images(Widths(), opened(tmp_path / "other", members), 3, None, None).digest != first


def test_images_do_not_pile_up(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "DECODERS", 1)
    eval_set, held = opened(tmp_path, class_members([0] * 12)), []

    def count(done):
        if done % 4 == 0:
            samples = (found for found in gc.get_objects() if type(found) is EvalSample)
            held.append(sum(bool(sample.image_bytes) for sample in samples))

    embed_images(Widths(), eval_set, 1, None, count)
    assert max(held) <= 4  # one at hand, two that the thread has or will have, one that is read ahead


def test_an_empty_split_is_an_error(tmp_path):
    with pytest.raises(DataError, match="has no samples in test"):
        embed_images(Widths(), opened(tmp_path, []), 3, None, None)
