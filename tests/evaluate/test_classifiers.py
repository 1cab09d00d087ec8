"""Classifiers are made once for the same weights and texts."""

import pytest
import torch

from tclip.evaluate import classifiers
from tclip.evaluate.classifiers import kept_classifier
from tclip.evaluate.zeroshot import build_classifier

PROMPTS = [["a cat", "the cat"], ["a dog"]]


class Words:
    """Embeds texts by their letters and counts them."""

    def __init__(self):
        self.asked = 0

    def embed_images(self, images):
        raise AssertionError("a classifier needs no images")

    def embed_texts(self, texts):
        self.asked += len(texts)
        return torch.tensor([[float(text.count(letter)) for letter in "acdgot"] for text in texts])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TCLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_second_time_no_text_is_embedded(cache):
    encoder = Words()
    first, speed = kept_classifier(encoder, PROMPTS, "weights", 2)
    assert encoder.asked == 3 and speed["texts_per_second"] > 0
    again, speed = kept_classifier(encoder, [tuple(texts) for texts in PROMPTS], "weights", 64)
    assert encoder.asked == 3 and speed == {}
    assert torch.equal(first, again)
    torch.testing.assert_close(again, build_classifier(Words(), PROMPTS, 2))


@pytest.mark.parametrize(
    ("prompts", "weights"),
    [(PROMPTS, "others"), ([["a cat"], ["a dog"]], "weights"), (PROMPTS[::-1], "weights")],
)
def test_other_weights_or_texts_have_their_own(cache, prompts, weights):
    kept_classifier(Words(), PROMPTS, "weights", 64)
    encoder = Words()
    found, _ = kept_classifier(encoder, prompts, weights, 64)
    assert encoder.asked == sum(map(len, prompts))
    torch.testing.assert_close(found, build_classifier(Words(), prompts, 64))


def test_weights_that_are_not_known_keep_nothing(cache):
    encoder = Words()
    for _ in range(2):
        kept_classifier(encoder, PROMPTS, "", 64)
    assert encoder.asked == 6 and not cache.exists()


@pytest.mark.parametrize("damage", [lambda whole: b"half", lambda whole: b"", lambda whole: whole[:-1]])
def test_a_damaged_one_is_made_again(cache, caplog, damage):
    kept_classifier(Words(), PROMPTS, "weights", 64)
    (path,) = (cache / "classifiers").iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    encoder = Words()
    found, speed = kept_classifier(encoder, PROMPTS, "weights", 64)
    assert encoder.asked == 3 and speed
    torch.testing.assert_close(found, build_classifier(Words(), PROMPTS, 64))
    assert path.read_bytes() == whole
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"the kept classifier {path} cannot be read" in caplog.text


def test_a_place_that_cannot_be_written_is_told_and_harms_nothing(cache, caplog):
    cache.write_text("a file")
    for _ in range(2):
        encoder = Words()
        found, _ = kept_classifier(encoder, PROMPTS, "weights", 64)
        torch.testing.assert_close(found, build_classifier(Words(), PROMPTS, 64))
        assert encoder.asked == 3
    assert "cannot be written" in caplog.text and "name another folder in TCLIP_CACHE" in caplog.text


def test_another_way_to_embed_has_its_own(cache, monkeypatch):
    kept_classifier(Words(), PROMPTS, "weights", 64)
    monkeypatch.setattr(classifiers, "EMBEDDING_VERSION", classifiers.EMBEDDING_VERSION + 1)
    encoder = Words()
    kept_classifier(encoder, PROMPTS, "weights", 64)
    assert encoder.asked == 3
