"""Pictures without captions as pairs: which texts stand in, and that nothing of the source's own is read."""

import pytest

from tclip.data.captioned import Captioned, pair_sources
from tclip.data.lengths import lengths
from tclip.data.loader import iter_pairs
from tclip.data.sample import derived
from tclip.data.stream import PairStream
from tclip.data.texts import open_texts
from tclip.errors import DataError
from tclip.models.load import load_dense

from .making import listed, pair_members, picture, write_layout


@pytest.fixture(scope="module")
def tokenizer(tiny_folder):
    return load_dense(str(tiny_folder("clip"))).tokenizer


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos/more").mkdir(parents=True)
    for number in range(9):
        folder = tmp_path / "photos" / ("more" if number % 2 else "")
        (folder / f"{number}.jpg").write_bytes(picture(number))
    return str(tmp_path / "photos")


def test_a_folder_of_pictures_becomes_pairs(photos, tokenizer):
    (source,) = pair_sources([photos], "train", "words", tokenizer)
    source.check()
    words = open_texts("words", tokenizer)
    samples = list(source)
    assert len(samples) == 9
    assert [each.captions for each in samples] == [(words(derived("words", each.key)),) for each in samples]
    assert len({each.captions for each in samples}) > 5, "each has a text of its own"
    assert list(source) == samples, "the same in each epoch: what the teacher says of it is kept"
    assert len(list(iter_pairs([source], 20))) == 9
    assert len(list(PairStream([source]).epoch(0))) == 9


def test_captions_of_the_source_are_not_read(tmp_path, tokenizer):
    write_layout(tmp_path / "set", {"train": [pair_members(range(20))]}, dataset_type="retrieval")
    (own,) = pair_sources([str(tmp_path / "set")], "train", "random", tokenizer)
    (made,) = pair_sources([str(tmp_path / "set")], "train", "words", tokenizer)
    assert not {each.captions for each in own} & {each.captions for each in made}
    assert [each.image_bytes for each in own] == [each.image_bytes for each in made]
    assert lengths(made.shards()) == lengths(own.shards()) == [20]
    assert len({own.fingerprint(), made.fingerprint()}) == 2


def test_numbers_that_are_known_stay_known(photos, tokenizer):
    (source,) = pair_sources([photos], "train", "words", tokenizer)
    assert lengths(source.shards()) == [9]
    inner = listed(20, 10)
    wrapped = Captioned(inner, open_texts("words", tokenizer))
    assert lengths(wrapped.shards()) == lengths(inner.shards())
    assert [shard.name for shard in wrapped.shards()] == [shard.name for shard in inner.shards()]


def test_what_is_not_there_is_named(photos, tmp_path, tokenizer):
    with pytest.raises(DataError, match="does not exist"):
        pair_sources([str(tmp_path / "nowhere")], "train", "words", tokenizer)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"path and text or caption or captions or title\.$"):
        pair_sources([str(tmp_path / "empty")], "train", "words", tokenizer)
    with pytest.raises(DataError, match=r"need no captions with --set data\.captions=words\.$"):
        pair_sources([photos], "train", "first", tokenizer)
