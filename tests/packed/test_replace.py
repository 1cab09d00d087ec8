"""Whatever interrupts the replacement of a folder, one of the two is there afterwards."""

from pathlib import Path

import pytest

from tclip.packed.replace import replace_folder, restore_folder, written_whole


def make(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "model").write_text(text)
    return folder


def test_the_new_takes_the_place_of_the_old(tmp_path: Path) -> None:
    old, new = make(tmp_path / "model", "old"), make(tmp_path / "new", "new")
    replace_folder(new, old)
    assert (old / "model").read_text() == "new"
    assert list(tmp_path.iterdir()) == [old]


def test_the_first_time_there_is_no_old_one(tmp_path: Path) -> None:
    replace_folder(make(tmp_path / "new", "new"), tmp_path / "model")
    assert (tmp_path / "model" / "model").read_text() == "new"


def test_killed_between_the_two_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, rename = make(tmp_path / "model", "old"), make(tmp_path / "new", "new"), Path.rename

    def killed(path: Path, target: Path) -> Path:
        if path == new:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            replace_folder(new, old)
    assert not old.exists()
    restore_folder(old)
    assert (old / "model").read_text() == "old"
    replace_folder(new, old)
    assert (old / "model").read_text() == "new"
    assert list(tmp_path.iterdir()) == [old]


def test_killed_before_the_old_one_was_removed(tmp_path: Path) -> None:
    folder = make(tmp_path / "model", "new")
    make(tmp_path / ".model.old", "old")
    restore_folder(folder)
    assert (folder / "model").read_text() == "new"
    replace_folder(make(tmp_path / "newer", "newer"), folder)
    assert (folder / "model").read_text() == "newer"
    assert list(tmp_path.iterdir()) == [folder]


def test_files_get_the_rights_of_any_new_file(tmp_path: Path) -> None:
    with written_whole(tmp_path / "model") as folder:
        (folder / "own").touch(0o600)
        (folder / "inner").mkdir()
        (folder / "inner" / "own").touch(0o600)
    (tmp_path / "fresh").touch()
    rights = {path.stat().st_mode for path in tmp_path.rglob("*") if path.is_file()}
    assert len(rights) == 1
    assert {path.name for path in tmp_path.rglob("*")} == {"model", "own", "inner", "fresh"}
