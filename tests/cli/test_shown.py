"""How progress and results are shown: plain lines, JSON lines, the live line, the last table."""

import io
import json
import math
from collections.abc import Callable

import pytest
from rich.console import Console

from tclip.cli import plain as plain_module
from tclip.cli.json_lines import JsonLines
from tclip.cli.live import Live
from tclip.cli.pace import Pace, duration_text, rate_text, status_text
from tclip.cli.plain import Plain
from tclip.cli.show import Quiet, showing
from tclip.cli.tables import cell_text, plain_table, print_table
from tclip.progress import Collected, Progress, Table

TABLE = Table("Scores", ["what", "original", "packed"], [["top-1, %", 100.0, 95.3], ["file, MB", None, 0.34]])


def work(progress: Progress) -> None:
    """A piece of work with a total, one without, a note and a table."""
    progress.begin("train", 3)
    for done in (1, 2, 3):
        progress.update(done, loss=1 / done)
    progress.note("half way")
    progress.begin("pack")
    progress.table(TABLE)


def test_plain_lines_begin_and_end_each_piece_of_work(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Plain()
    work(shown)
    shown.close()
    out, err = capsys.readouterr()
    begun, note, trained, pack, packed = err.splitlines()
    assert (begun, note, pack) == ("train (0/3) ...", "half way", "pack ...")
    assert trained.startswith("train: 3 in 0.") and trained.endswith("s  loss 0.3333")
    assert packed.startswith("pack: 0.")
    assert out == plain_table(TABLE) + "\n"


def test_plain_lines_come_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(plain_module.time, "monotonic", lambda: now[0])
    shown = Plain()
    shown.begin("train", 100)
    for second in range(1, 32):
        now[0] = float(second)
        shown.update(second, loss=0.5)
    lines = capsys.readouterr().err.splitlines()[1:]
    assert [line.split("  ")[0] for line in lines] == ["train: 10/100", "train: 20/100", "train: 30/100"]
    assert lines[-1].endswith("loss 0.5  1.0/s  1m10s left")


def test_json_lines_end_with_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    shown = JsonLines()
    work(shown)
    shown.close()
    out, err = capsys.readouterr()
    said = [json.loads(line) for line in out.splitlines()]
    assert err == ""
    assert [event["event"] for event in said] == [
        "begin",
        "update",
        "update",
        "note",
        "end",
        "begin",
        "end",
        "table",
    ]
    # the second of three updates came too soon after the first; the last is always told
    assert [event["done"] for event in said if event["event"] == "update"] == [1, 3]
    assert said[2]["total"] == 3 and said[2]["facts"] == {"loss": pytest.approx(1 / 3)}
    assert said[-1] == {"event": "table", **TABLE.to_dict()}


def test_json_has_no_word_for_nan(capsys: pytest.CaptureFixture[str]) -> None:
    shown = JsonLines()
    shown.begin("train")
    shown.update(1, loss=math.nan, norm=math.inf)
    update = json.loads(capsys.readouterr().out.splitlines()[1])
    assert update["facts"] == {"loss": None, "norm": None}


@pytest.mark.parametrize("as_json", [False, True])
def test_quiet_shows_the_last_table_alone(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    shown = Quiet(json=as_json)
    shown.table(Table("Before", ["a"], [[1]]))
    work(shown)
    assert capsys.readouterr() == ("", "")
    shown.close()
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["title"] == "Scores" if as_json else out == plain_table(TABLE) + "\n"


def test_the_live_line_ends_complete(capsys: pytest.CaptureFixture[str]) -> None:
    text = io.StringIO()
    shown = Live(Console(file=text, force_terminal=True, width=100, color_system=None))
    work(shown)
    shown.close()
    said = text.getvalue()
    assert "half way" in said and "3/3  loss 0.3333" in said
    assert capsys.readouterr().out == plain_table(TABLE) + "\n"


def test_without_a_terminal_there_is_no_live_line() -> None:
    for options, kind in (((False, False), Plain), ((True, False), JsonLines), ((True, True), Quiet)):
        with showing(json=options[0], quiet=options[1]) as progress:
            assert type(progress) is kind


def test_of_several_processes_one_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    with showing(json=False, quiet=False) as progress:
        work(progress)
    assert isinstance(progress, Collected)
    assert capsys.readouterr() == ("", "")


def test_a_failure_ends_the_work_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), showing(json=False, quiet=False) as progress:
        progress.begin("train", 3)
        raise KeyError
    assert capsys.readouterr().err.splitlines()[-1].startswith("train: 0.")


def test_a_table_on_a_terminal_is_drawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    title = "A title much longer than the table below it is wide"
    print_table(Table(title, ["a"], [["[bold]1"]]))
    out = capsys.readouterr().out
    assert title in out
    assert "[bold]1" in out


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (3, "3"),
        ("x", "x"),
        (100.0, "100.0"),
        (605.16, "605.16"),
        (0.123456, "0.1235"),
        (1e-5, "1e-05"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert cell_text(value) == text


def test_numbers_stand_to_the_right_also_below_an_empty_cell() -> None:
    *_, last = plain_table(TABLE).splitlines()
    assert last == f"file, MB{'':14}0.34"


@pytest.mark.parametrize("on_terminal", [False, True])
def test_names_that_are_no_text_are_escaped_and_columns_stay_in_line(
    on_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: on_terminal)
    print_table(Table("caf\udce9", ["picture", "\udce9"], [["\udce9.png", 1], ["bé.png", 2]]))
    title, *lines = capsys.readouterr().out.splitlines()
    one, other = (line for line in lines if ".png" in line)
    assert all(r"\udce9" in line for line in (title, one)) and "bé.png" in other
    assert len(one) == len(other)


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (duration_text, 0.42, "0.4s"),
        (duration_text, 12.4, "12s"),
        (duration_text, 59.7, "1m00s"),
        (duration_text, 7620.0, "2h07m"),
        (rate_text, 12.34, "12.3/s"),
        (rate_text, 0.25, "4.0 s each"),
        (rate_text, None, ""),
    ],
)
def test_rates_and_durations(function: Callable[..., str], value: float | None, text: str) -> None:
    assert function(value) == text


def test_nothing_is_foretold_from_one_update() -> None:
    pace = Pace()
    pace.mark(5)
    assert pace.rate is None and pace.remaining(10) is None
    assert status_text(pace, 10, {}) == "5/10"
    assert status_text(pace, None, {"loss": 0.5}) == "5  loss 0.5"
