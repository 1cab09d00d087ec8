import json

import pytest

from tclip.data.folders import LocalFolder
from tclip.data.pairs import open_pairs
from tclip.data.shards import captions
from tclip.data.tars import Group
from tclip.errors import DataError

from .making import pair_members, picture, write_tar


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        write_tar(tmp_path / f"cc-train-{number:03d}.tar", pair_members(range(number * 4, number * 4 + 4)))
    write_tar(tmp_path / "cc-validation-000.tar", pair_members([90]))
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "num"),
    [
        ("", 12),
        ("cc-train-001.tar", 4),
        ("cc-train-{000..002}.tar", 12),
        ("cc-train-{000,002}.tar", 8),
        ("cc-train-*.tar", 12),
        ("*.tar", 13),
    ],
)
def test_shards_are_found_by_folder_file_and_pattern(folder, pattern, num):
    source = open_pairs(f"{folder}/{pattern}")
    source.check()
    samples = list(source)
    assert len(samples) == len({sample.key for sample in samples}) == num
    first = samples[0]
    assert first.image_bytes.startswith(b"\xff\xd8") and len(first.captions) == 2


def test_a_split_is_told_by_the_names(folder):
    assert [shard.name for shard in open_pairs(str(folder), "validation").shards()] == [
        "cc-validation-000.tar"
    ]
    with pytest.raises(DataError, match=r'Unknown split "test".*train, validation'):
        open_pairs(str(folder), "test")


def test_pipe_addresses_are_no_sources(tmp_path):
    target = tmp_path / "ran"
    with pytest.raises(DataError):
        open_pairs(f"pipe:touch {target}")
    assert not target.exists()


def test_missing_files_of_a_brace_pattern_are_all_named(folder):
    with pytest.raises(DataError, match=r"cc-train-003\.tar\n.*cc-train-004\.tar"):
        open_pairs(f"{folder}/cc-train-{{000..004}}.tar")


def test_the_fingerprint_follows_the_files(folder):
    before = open_pairs(str(folder)).fingerprint()
    assert open_pairs(str(folder)).fingerprint() == before
    assert open_pairs(f"{folder}/cc-train-*.tar").fingerprint() == before
    write_tar(folder / "cc-train-001.tar", pair_members([7]))
    assert open_pairs(str(folder)).fingerprint() != before


def test_captions_come_from_txt_or_json():
    assert captions(Group("k", {"txt": b" a \n\n b\n", "json": b"{}"})) == ("a", "b")
    assert captions(Group("k", {"json": json.dumps({"caption": "c"}).encode()})) == ("c",)
    assert (
        captions(Group("k", {"json": b"{"}))
        == captions(Group("k", {"json": b"[1]"}))
        == captions(Group("k", {}))
        == ()
    )


def test_a_folder_without_captions_is_no_data_of_pairs(tmp_path):
    write_tar(tmp_path / "0.tar", [("a.jpg", picture(1)), ("b.jpg", picture(2))])
    with pytest.raises(DataError, match="has no caption"):
        open_pairs(str(tmp_path)).check()
    write_tar(tmp_path / "0.tar", [])
    with pytest.raises(DataError, match="holds no images"):
        open_pairs(str(tmp_path)).check()


def test_subfolders_are_looked_into_once(tmp_path):
    write_tar(tmp_path / "train" / "0.tar", pair_members([1]))
    write_tar(tmp_path / "test" / "deep" / "0.tar", pair_members([1]))
    assert list(LocalFolder(tmp_path).names()) == ["train/0.tar"]
