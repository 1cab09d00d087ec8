import gzip
import io
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tclip.data import tars
from tclip.data.folders import LocalFolder
from tclip.data.tars import read_groups, split_name
from tclip.errors import DataError

from .making import pair_members, write_tar


def read(path):
    return list(read_groups(LocalFolder(path.parent), path.name))


@pytest.mark.parametrize(
    ("name", "key", "extension"),
    [
        ("a.jpg", "a", "jpg"),
        ("dir.d/a.seg.PNG", "dir.d/a", "seg.png"),
        ("./x/a", "./x/a", ""),
        ("dir/.hidden.jpg", "", "hidden.jpg"),
    ],
)
def test_names_split_at_the_first_dot_of_the_base_name(name, key, extension):
    assert split_name(name) == (key, extension)


def test_neighbours_of_one_key_are_one_sample(tmp_path):
    members = [("a/x.jpg", b"1"), ("a/x.txt", b"t"), ("b/x.jpg", b"2"), ("b/x.JSON", b"{}")]
    groups = read(write_tar(tmp_path / "s.tar", members))
    assert [group.key for group in groups] == ["s.tar[0]/a/x", "s.tar[1]/b/x"]
    assert groups[1].members == {"jpg": b"2", "json": b"{}"}


def test_keys_are_unique_where_names_repeat(tmp_path):
    groups = read(write_tar(tmp_path / "s.tar", pair_members([1, 1, 2, 1])))
    assert len({group.key for group in groups}) == len(groups) == 4


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["jpg", "txt", "cls"]), st.binary(max_size=9)))
)
def test_every_member_is_in_exactly_one_sample(members):
    grouped = list(tars._grouped((f"{key}.{ext}", data) for key, ext, data in members))
    flat = [(key, ext, data) for key, group in grouped for ext, data in group.items()]
    assert flat == members


def test_links_folders_and_odd_paths_are_never_followed(tmp_path):
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        outside = tarfile.TarInfo("../../outside.jpg")
        outside.size = 3
        tar.addfile(outside, io.BytesIO(b"abc"))
    assert [group.members for group in read(path)] == [{"jpg": b"abc"}]
    assert list(tmp_path.parent.parent.glob("outside*")) == []


def test_a_member_that_claims_too_much_is_passed_over(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tars, "MAX_MEMBER", 2)
    groups = read(write_tar(tmp_path / "s.tar", [("a.jpg", b"123"), ("b.jpg", b"12")]))
    assert [group.key for group in groups] == ["s.tar[0]/b"]
    assert "a.jpg" in caplog.text


@pytest.mark.parametrize("damage", ["foreign", "truncated", "header"])
def test_a_damaged_shard_is_refused_by_name(tmp_path, damage):
    path = write_tar(tmp_path / "s.tar", pair_members(range(3)))
    data = bytearray(path.read_bytes())
    if damage == "foreign":
        data = bytearray(b"<html>not found</html>" * 99)
    if damage == "truncated":
        data = data[:1000]
    if damage == "header":
        with tarfile.open(path) as tar:
            offset = tar.getmembers()[2].offset
        data[offset : offset + 512] = b"\x07" * 512
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"s\.tar is no tar file or a damaged one"):
        read(path)


def whole():
    """The bytes of a shard, and where its two blocks of zeros begin; one name takes several headers."""
    members = [*pair_members(range(2)), ("é" * 60 + ".jpg", b"1"), ("z.txt", b"")]
    with tempfile.TemporaryDirectory() as folder:
        path = write_tar(Path(folder) / "s.tar", members)
        with tarfile.open(path) as tar:
            last = tar.getmembers()[-1]
        return path.read_bytes(), last.offset_data + 512 * -(-last.size // 512)


WHOLE, END = whole()


@given(st.integers(0, len(WHOLE)))
@example(0)
@example(END)  # at the end of a member, where tarfile would see the end of the archive
@example(END - 1536)
@example(END - 1535)  # within a header
@example(END + 511)
@example(END + 512)
def test_a_shard_that_is_cut_off_anywhere_is_refused(length):
    if length < END + 512:
        with pytest.raises(tarfile.ReadError):
            list(tars._members(io.BytesIO(WHOLE[:length])))
    else:  # some writers end with one block of zeros
        assert len(list(tars._members(io.BytesIO(WHOLE[:length])))) == 6


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_where_a_shard_breaks_off_and_what_may_have_happened_is_told(tmp_path, packed):
    (tmp_path / "s.tar").write_bytes(packed(WHOLE[:END]))
    with pytest.raises(
        DataError, match=rf"s\.tar is .* breaks off at byte {END} .*: fetch or make it again\.$"
    ):
        read(tmp_path / "s.tar")


def test_a_damaged_header_between_members_is_told(tmp_path):
    (tmp_path / "s.tar").write_bytes(WHOLE[:END] + b"x" * 512 + WHOLE)
    with pytest.raises(DataError, match=f"stands at byte {END} is no header"):
        read(tmp_path / "s.tar")


def test_two_tars_in_one_file_are_refused(tmp_path):
    (tmp_path / "s.tar").write_bytes(WHOLE + WHOLE)
    with pytest.raises(DataError, match="data follow the end of the archive"):
        read(tmp_path / "s.tar")


def test_gzip_is_read_too(tmp_path):
    plain = write_tar(tmp_path / "s.tar", pair_members(range(3)))
    (tmp_path / "s.tar.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert [group.members for group in read(tmp_path / "s.tar.gz")] == [
        group.members for group in read(plain)
    ]


def test_reading_keeps_no_headers(tmp_path):
    from tclip.data.tars import _members

    path = write_tar(tmp_path / "s.tar", pair_members(range(20)))
    with path.open("rb") as stream:
        members = _members(stream)
        for _ in range(30):
            next(members)
        assert len(members.gi_frame.f_locals["tar"].members) <= 1
