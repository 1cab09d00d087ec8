"""`tclip sensitivity`, and `tclip compress --budget` down to files that keep within it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tclip.cli.app import main
from tests.calibrate.test_stage import run_with

FAST = ("--set", "calibrate.method=round", "--set", "sensitivity.pairs=6", "--set", "sensitivity.unseen=4")


@pytest.fixture
def given(tiny_folder: Callable[[str], Path], tmp_path: Path) -> tuple[str, ...]:
    """A model, its pairs, and settings for a second."""
    run_with(12, tmp_path, tiny_folder("clip"))
    table = tmp_path / "data" / "captions.csv"
    return (str(tiny_folder("clip")), "--recipe", "ptq", "--data", str(table), *FAST)


def test_weights_are_ranked_and_kept_as_json(
    given: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "ratings.json"
    assert main(["sensitivity", *given, "--budget", "101%", "--out", str(out), "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (table,) = (event for event in events if event["event"] == "table")
    ratings = json.loads(out.read_text())["ratings"]
    assert {row[0] for row in table["rows"]} == {rating["name"] for rating in ratings}
    costs = [row[2] for row in table["rows"]]
    assert costs == sorted(costs, reverse=True)
    assert {row[-1] for row in table["rows"]} > {"ternary"}


def test_a_compressed_model_keeps_within_its_budget(
    given: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "mixed"
    rest = ("--set", "export.onnx=null", "--set", "calibrate.pairs=8", "--stop-after", "pack")
    assert main(["compress", *given, "--budget", "110%", "--out", str(run), *rest]) == 0
    captured = capsys.readouterr()
    allotment = json.loads((run / "results" / "sensitivity.json").read_text())["allotment"]
    size = (run / "packed" / "model.safetensors").stat().st_size
    assert (
        0.99 * allotment["predicted_bytes"]
        < size
        <= allotment["predicted_bytes"]
        <= allotment["allowed_bytes"]
    )
    assert "weights keep 8 bits" in captured.err
    assert "bits, scales included" in captured.out
    assert main(["inspect", str(run), "--weights"]) == 0
    inspected = capsys.readouterr().out
    assert all(
        any(f"{bits} bits" in line and name in line for line in inspected.splitlines())
        for name, bits in allotment["bits"].items()
    )


def test_a_limit_of_costs_takes_the_place_of_a_budget(
    given: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tuple("mixed" if each == "ptq" else each for each in given)
    rest = ("--set", "calibrate.outputs=false", "--set", "train=null", "--out", str(tmp_path / "out.json"))
    assert main(["sensitivity", *given, *rest, "--max-cost", "0.01"]) == 0
    assert "at a cost of 0.00" in capsys.readouterr().err
    assert main(["sensitivity", *given, *rest, "--max-cost", "0.01", "--budget", "110%"]) == 2
    assert "Give either --budget or --max-cost" in capsys.readouterr().err


def test_a_budget_takes_the_place_of_a_limit_of_costs(
    given: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tuple("mixed-ptq" if each == "ptq" else each for each in given)
    assert main(["sensitivity", *given, "--budget", "101%", "--out", str(tmp_path / "out.json")]) == 0
    said = capsys.readouterr().err
    assert "model.safetensors will have" in said
    assert " of " in said.partition("model.safetensors will have")[2], "the bytes that are allowed"


@pytest.mark.parametrize("command", ["sensitivity", "compress"])
def test_an_impossible_budget_is_refused_at_once(
    given: tuple[str, ...], tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, *given, "--budget", "5kB", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "quantize.budget 5kB cannot be met" in said
    assert "The run folder" not in said
    assert not (tmp_path / "out").exists()
