import pytest

from tclip.data.pairs import find_folder, open_pairs
from tclip.data.screen import flaw
from tclip.errors import DataError

from .making import pair_members, write_layout, write_tar


def test_a_mistyped_path_gets_a_suggestion(tmp_path):
    write_layout(tmp_path / "flickr8k", {"train": [pair_members([1])]})
    with pytest.raises(DataError, match=r'flikr8k" does not exist.*Did you mean "flickr8k"'):
        open_pairs(str(tmp_path / "flikr8k"))


def test_a_path_beside_us_is_no_name_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match='"data/flickr8k" does not exist'):
        open_pairs("data/flickr8k")


def test_a_folder_of_something_else_is_told_what_was_looked_for(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"x")
    with pytest.raises(DataError, match=r"looked for SPLIT/nshards\.txt.*\*\.tar.*caption table"):
        open_pairs(str(tmp_path))
    with pytest.raises(DataError, match="no kind of data that is known"):
        open_pairs(str(tmp_path / "a.bin"))


def test_a_local_folder_comes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tar(tmp_path / "owner/name/0.tar", pair_members([1]))
    folder, pattern = find_folder("owner/name")
    assert folder.where == "owner/name" and pattern is None
    assert len(list(open_pairs("owner/name"))) == 1


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "split", "num", "captions"), [("flickr8k", "test", 1000, 5), ("clothing", "train", 2500, 2)]
)
def test_photographs_are_read_whole(shared, name, split, num, captions):
    source = open_pairs(str(shared / "data" / name), split)
    source.check()
    samples = list(source)
    assert len(samples) == len({sample.key for sample in samples}) == num
    assert all(flaw(sample) is None and len(sample.captions) == captions for sample in samples)
