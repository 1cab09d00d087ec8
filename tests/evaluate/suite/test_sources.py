"""Where data are looked for."""

import pytest

from tclip.errors import DataError
from tclip.evaluate.suite.sources import Source, find_sources


@pytest.mark.parametrize("folder", ["wds_vtab-cifar10", "vtab-cifar10", "vtab/cifar10", "cifar10"])
def test_a_task_is_found_below_the_root(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True)
    assert find_sources(["vtab/cifar10"], [], tmp_path) == [Source("vtab/cifar10", str(tmp_path / folder))]


def test_what_is_not_below_the_root_is_streamed(tmp_path):
    expected = [Source("vtab/cifar10", "hf://clip-benchmark/wds_vtab-cifar10")]
    assert find_sources(["vtab/cifar10"], [], tmp_path) == expected
    assert find_sources(["vtab/cifar10"], [], None) == expected


def test_what_is_to_be_kept_has_a_folder_below_the_root(tmp_path):
    (tmp_path / "mnist").mkdir()
    root = tmp_path / "later"
    kept = Source("vtab/cifar10", "hf://clip-benchmark/wds_vtab-cifar10", root / "wds_vtab-cifar10")
    assert find_sources(["vtab/cifar10"], [], root, download=True) == [kept]
    assert find_sources(["mnist"], [], tmp_path, download=True) == [Source("mnist", str(tmp_path / "mnist"))]
    with pytest.raises(DataError, match="Say where downloads are to be kept: add --root DIR"):
        find_sources(["vtab/cifar10"], [], None, download=True)


def test_what_is_no_task_is_not_streamed_where_all_was_to_be_kept(tmp_path):
    (tmp_path / "mine").mkdir()
    data = [str(tmp_path / "mine"), "hf://org/two", "me/three"]
    with pytest.raises(
        DataError, match=r"--download brings tasks alone(.|\n)*hf://org/two(.|\n)*me/three"
    ) as caught:
        find_sources(["mnist"], data, tmp_path, download=True)
    assert "mine" not in str(caught.value)
    assert len(find_sources(["mnist"], data[:1], tmp_path, download=True)) == 2


def test_folders_and_addresses_are_called_by_their_last_name(tmp_path, monkeypatch):
    (tmp_path / "sets/pets").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "sets/pets")
    data = ["../pets", "hf://org/wds_two@v1", "me/three"]
    assert [source.name for source in find_sources([], data, None)] == ["pets", "wds_two", "three"]


def test_mistakes_are_told_at_once(tmp_path):
    (tmp_path / "pets").mkdir()
    with pytest.raises(DataError) as caught:
        find_sources([], [str(tmp_path / "petts"), str(tmp_path / "other/x")], None)
    assert f'Did you mean "{tmp_path / "pets"}"?' in str(caught.value) and "other/x" in str(caught.value)
    with pytest.raises(DataError, match=r"no folder .*nowhere: give --root"):
        find_sources(["mnist"], [], tmp_path / "nowhere")


def test_two_of_one_name_would_share_a_record(tmp_path):
    for way in "ab":
        (tmp_path / way / "mine").mkdir(parents=True)
    with pytest.raises(DataError, match="Several data sets are called mine"):
        find_sources([], [str(tmp_path / way / "mine") for way in "ab"], None)


@pytest.mark.parametrize("called", ["vtab-pets", "wds_vtab-pets", "pets"])
def test_data_of_a_task_that_is_asked_for_would_count_twice(tmp_path, called):
    (tmp_path / called).mkdir()
    with pytest.raises(DataError, match="Several data sets are called vtab/pets"):
        find_sources(["vtab/pets"], [str(tmp_path / called)], None)


def test_a_folder_may_stand_among_suites_where_it_is_called_after_none(tmp_path, monkeypatch):
    for name in ("mine", "mnist"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_sources(["mine", "mnist"], [], None) == [
        Source("mnist", "hf://clip-benchmark/wds_mnist"),
        Source("mine", "mine"),
    ]
    assert find_sources(["./mnist"], [], None) == [Source("mnist", "./mnist")]
