"""The log of training."""

from pathlib import Path

import pytest

from tclip.distill.log import LOG, add_line, cut_log, read_log
from tclip.errors import DataError

LINES = [{"step": step, "loss": 1.0 / step} for step in (1, 2, 3)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for line in LINES:
        add_line(tmp_path, line)
    return tmp_path


def test_what_was_added_is_read(folder: Path) -> None:
    assert read_log(folder) == LINES
    assert read_log(folder / "empty") == []


def test_a_last_line_that_was_cut_off_is_left_out(folder: Path) -> None:
    with (folder / LOG).open("a") as log:
        log.write('{"step": 4, "lo')
    assert read_log(folder) == LINES


@pytest.mark.parametrize("text", ["{", "3", '{"loss": "low"}', '{"loss": null}'])
def test_another_damaged_line_is_named(folder: Path, text: str) -> None:
    path = folder / LOG
    path.write_text(path.read_text() + f"{text}\n" + path.read_text())
    with pytest.raises(DataError, match=r"log\.jsonl:4 is damaged"):
        read_log(folder)


@pytest.mark.parametrize(("step", "kept"), [(0, 0), (1, 1), (2, 2), (9, 3)])
def test_lines_behind_a_step_are_dropped(folder: Path, step: int, kept: int) -> None:
    with (folder / LOG).open("a") as log:
        log.write('{"step": 4, "lo')
    cut_log(folder, step)
    assert read_log(folder) == LINES[:kept]
    add_line(folder, {"step": 10, "loss": 0.0})
    assert read_log(folder)[-1] == {"step": 10, "loss": 0.0}


def test_the_folder_is_made(tmp_path: Path) -> None:
    cut_log(tmp_path / "steps", 0)
    add_line(tmp_path / "steps", LINES[0])
    assert read_log(tmp_path / "steps") == LINES[:1]
