"""What is told of the number of samples in a shard before it is read."""

import tarfile

import pytest

from tclip.data import lengths as module
from tclip.data.images import open_images
from tclip.data.lengths import ASSUMED, lengths
from tclip.data.made import Made
from tclip.data.pairs import open_pairs
from tclip.errors import DataError

from .making import listed, pair_members, picture, write_layout, write_tar


def told(spec):
    return lengths(open_pairs(str(spec)).shards())


def test_a_folder_of_pictures_and_a_table_know(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    assert lengths(open_images(str(tmp_path)).shards()) == [5]
    (tmp_path / "t.csv").write_text("image,text\n0.jpg,a\n0.jpg,b\n1.jpg,c\n")
    assert told(tmp_path / "t.csv") == [2]


def test_tars_are_reckoned_from_the_first_and_their_sizes(tmp_path):
    write_layout(tmp_path / "set", {"train": [pair_members(range(n)) for n in (60, 30, 240)]})
    first, second, third = told(tmp_path / "set")
    assert first == 60
    assert abs(second - 30) <= 6 and abs(third - 240) <= 24, "the end of a tar is padded"
    write_tar(tmp_path / "tars" / "0.tar", pair_members(range(60)))
    assert told(tmp_path / "tars") == [60]
    assert lengths(Made(open_pairs(str(tmp_path / "tars")), "crops").shards()) == [60]


def test_of_a_large_tar_the_beginning_will_do(tmp_path, monkeypatch):
    write_tar(tmp_path / "0.tar", pair_members(range(400)))
    with tarfile.open(tmp_path / "0.tar") as tar:
        middle = tar.getmember("s0200.jpg").offset
    with (tmp_path / "0.tar").open("r+b") as stream:
        stream.seek(middle)
        stream.write(b"no header")
    monkeypatch.setattr(module, "LOOKED_AT", middle // 2)
    (length,) = told(tmp_path)
    assert abs(length - 400) <= 20


def test_one_sample_of_a_tar_may_be_larger_than_what_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOOKED_AT", 1)
    members = [(f"{number:02d}.jpg", bytes(1 << 18)) for number in range(40)]
    write_tar(tmp_path / "0.tar", members)
    (length,) = told(tmp_path)
    assert abs(length - 40) <= 4


def test_of_others_nothing_is_known(tmp_path):
    assert lengths(listed(20, 10).shards()) == [ASSUMED] * 2
    write_tar(tmp_path / "0.tar", [])
    assert told(tmp_path) == [1]


def test_what_cannot_be_read_is_named(tmp_path):
    for number in range(2):
        write_tar(tmp_path / f"{number}.tar", pair_members(range(3)))
    source = open_pairs(str(tmp_path))
    (tmp_path / "1.tar").unlink()
    with pytest.raises(DataError, match=r"1\.tar cannot be read: No such file"):
        lengths(source.shards())
    (tmp_path / "0.tar").write_bytes(b"no tar")
    with pytest.raises(DataError, match=r"0\.tar is no tar file"):
        lengths(source.shards())
