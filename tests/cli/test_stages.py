"""Every command on one tiny run: text, JSON, quiet, and what each stage leaves."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tclip.cli.app import main
from tclip.cli.stage import open_with
from tclip.pipeline import run_stage
from tclip.progress import Collected
from tclip.run import open_run
from tests.cli.conftest import Outcome
from tests.data.making import class_members, pair_members, write_layout

FAST = (
    "train.minutes=null",
    "train.steps=2",
    "train.batch_size=4",
    "calibrate.pairs=8",
    "export.onnx.samples=4",
    "export.onnx.activations=float",
    "teacher.cache=false",
)
SET = [part for setting in FAST for part in ("--set", setting)]
SIZES = 7  # rows of the last table that follow accuracy


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pairs/ (train and test) and pets/ (classes), in the CLIP_benchmark layout."""
    folder = tmp_path_factory.mktemp("data")
    splits = {"train": [pair_members(range(12))], "test": [pair_members(range(12, 16))]}
    write_layout(folder / "pairs", splits, dataset_type="retrieval")
    texts = {"classnames": "cat\ndog\n", "zeroshot_classification_templates": "a {c}\n"}
    write_layout(folder / "pets", {"test": [class_members([0, 1, 0, 1])]}, **texts)
    return folder


@pytest.fixture(scope="module")
def compressed(
    tiny_folder: Callable[[str], Path], data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    """A run that `tclip compress` made, and what it said; nothing may change the folder."""
    run, out, err = tmp_path_factory.mktemp("runs") / "tiny", StringIO(), StringIO()
    sources = ["--data", f"{data / 'pairs'}", "--eval", f"{data / 'pairs'}", "--eval", f"{data / 'pets'}"]
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["compress", str(tiny_folder("clip")), *sources, "--out", str(run), *SET])
    return run, Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture
def run(compressed: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    return shutil.copytree(compressed[0], tmp_path / "run")


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def titles(text: str) -> Iterator[str]:
    """The lines above those that name columns, which stand above a rule."""
    lines = text.splitlines()
    return (lines[i - 2] for i, line in enumerate(lines) if line.startswith("---"))


def test_compress_ends_with_one_table(compressed: tuple[Path, Outcome]) -> None:
    folder, outcome = compressed
    assert outcome.code == 0, outcome.err
    last = outcome.out.rstrip().split("\n\n")[-1].splitlines()
    assert last[0] == f"{folder}: the original and its ternary forms"
    assert last[1].split() == ["what", "original", "packed", "onnx"]
    assert [line.split(",")[0].split("  ")[0] for line in last[3:6]] == [
        "pairs text to image R@1",
        "pairs image to text R@1",
        "pets top-1",
    ]
    assert len(last) == 6 + SIZES
    kept = json.loads((folder / "results/table.json").read_text())
    assert [row[0] for row in kept["rows"][-SIZES:]] == [line.split("  ")[0] for line in last[-SIZES:]]


def test_accuracy_and_size_are_told_once(compressed: tuple[Path, Outcome]) -> None:
    said = list(titles(compressed[1].out))
    assert len(said) == len(set(said))
    assert sum("ternary forms" in title for title in said) == 1


def test_progress_is_not_among_the_results(compressed: tuple[Path, Outcome]) -> None:
    _, outcome = compressed
    for work in ("calibrate", "train", "pack", "export onnx", "eval original on pets", "eval onnx on pairs"):
        assert f"{work}: " in outcome.err
        assert f"{work}: " not in outcome.out
    assert "\x1b" not in outcome.out + outcome.err
    assert "Traceback" not in outcome.err


def test_every_form_knows_how_sure_it_is(compressed: tuple[Path, Outcome]) -> None:
    for form in ("original", "packed", "onnx"):
        record = json.loads((compressed[0] / f"results/{form}/pets.json").read_text())
        assert 0 <= record["metrics"]["expected_calibration_error"] <= 1
        assert record["throughput"]["images_per_second"] > 0


def test_every_unit_of_the_calibration_is_counted(compressed: tuple[Path, Outcome]) -> None:
    lines = compressed[1].err.splitlines()
    total = next(line for line in lines if line.startswith("calibrate (0/")).split("/")[1].split(")")[0]
    assert any(line.startswith(f"calibrate: {total} in ") for line in lines)


def test_what_a_run_folder_holds(compressed: tuple[Path, Outcome]) -> None:
    folder, _ = compressed
    for file in (
        "recipe.yaml",
        "packed/model.safetensors",
        "onnx/text_encoder.onnx",
        "results/onnx/pets.json",
    ):
        assert (folder / file).is_file()
    assert list(json.loads((folder / "stages.json").read_text())) == [
        "calibrate",
        "train",
        "pack",
        "export",
        "eval",
    ]


def test_pack_for_machines(tclip: Callable[..., Outcome], run: Path) -> None:
    outcome = tclip("pack", str(run), "--json")
    assert (outcome.code, outcome.err) == (0, "")
    *_, last = events(outcome.out)
    file = run / "packed/model.safetensors"
    assert (last["event"], last["title"]) == ("table", f"Bytes of {file}")
    assert last["rows"][-1][2] == file.stat().st_size == sum(row[2] for row in last["rows"][:-1])


def test_a_look_ends_with_the_table_and_leaves_the_run_as_it_was(
    tclip: Callable[..., Outcome], run: Path, data: Path
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    outcome = tclip(
        "eval", str(run), "--data", str(data / "pets"), "--form", "packed", "--limit", "3", "--json"
    )
    assert outcome.code == 0
    said = events(outcome.out)
    assert {event["event"] for event in said} == {"begin", "update", "end", "table"}
    updates = [event for event in said if event["event"] == "update"]
    assert (updates[-1]["done"], updates[-1]["total"]) == (3, 3)
    table = said[-1]
    assert table["title"].endswith("ternary forms, no more than 3 images of each data set")
    assert table["columns"] == ["what", "original", "packed", "onnx"]
    assert table["rows"][0][0] == "pets top-1, %"
    assert [cell is None for cell in table["rows"][0][1:]] == [True, False, True]
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_look_at_whole_data_sets_keeps_their_records(tclip: Callable[..., Outcome], run: Path) -> None:
    shutil.rmtree(run / "results" / "packed")
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert tclip("eval", str(run), "--form", "packed").code == 0
    now = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert {path.relative_to(run / "results/packed").stem for path in now.keys() - kept.keys()} == {
        "pairs",
        "pets",
    }
    assert {path: now[path] for path in kept} == kept


def test_eval_quiet_shows_the_table_alone(tclip: Callable[..., Outcome], run: Path) -> None:
    outcome = tclip("eval", str(run), "--form", "original", "--quiet")
    assert (outcome.code, outcome.err) == (0, "")
    assert list(titles(outcome.out)) == [f"{run}: the original and its ternary forms"]


def test_an_evaluation_of_the_recipe_is_kept(tclip: Callable[..., Outcome], run: Path, data: Path) -> None:
    outcome = tclip("eval", str(run), "--data", str(data / "pets"), "--set", "eval.limit=3", "--quiet")
    assert outcome.code == 0
    assert open_run(run).recipe.eval.limit == 3
    assert json.loads((run / "results/packed/pets.json").read_text())["num_samples"] == 3


def test_without_data_the_table_tells_sizes(tclip: Callable[..., Outcome], run: Path) -> None:
    outcome = tclip("eval", str(run), "--set", "eval.data=[]", "--json", "--quiet")
    (table,) = events(outcome.out)
    assert len(table["rows"]) == SIZES
    assert table["rows"][0][0] == "weights on disk, MB"


def test_export_turns_on_what_the_recipe_has_off(
    tclip: Callable[..., Outcome], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        "tclip.export.stage.export", lambda run, progress: asked.append(run.recipe.export.onnx)
    )
    assert tclip("pack", str(run)).code == 0
    recipe = run / "recipe.yaml"
    recipe.write_text(re.sub(r"  onnx:\n(    .*\n)+", "  onnx: null\n", recipe.read_text()))
    assert tclip("export", "onnx", str(run), "--activations", "float", "--joint").code == 0
    ((activations, joint),) = [(each.activations, each.joint) for each in asked]
    assert (activations, joint) == ("float", True)


def test_calibrate_and_train_alone(tclip: Callable[..., Outcome], run: Path) -> None:
    outcome = tclip("calibrate", str(run), "--set", "calibrate.pairs=4", "--quiet")
    assert outcome.code == 0
    assert list(titles(outcome.out)) == ["Cosine to the original's embeddings (unseen pairs)"]
    assert tclip("pack", str(run)).code == 2
    outcome = tclip("train", str(run), "--set", "train.steps=1", "--json")
    assert outcome.code == 0
    updates = [event for event in events(outcome.out) if event["event"] == "update"]
    assert updates[-1]["done"] == 1 and updates[-1]["facts"]["loss"] > 0
    assert tclip("pack", str(run)).code == 0


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "train.lr=1e-5",
            "is not for `pack`: give it to `tclip train {run}`, and run the later stages again.",
        ),
        ("eval.limit=1", "is not for `pack`: give it to `tclip eval {run}`."),
        ("name=other", "is not for `pack`."),
    ],
)
def test_an_override_of_another_stage_is_sent_there(
    tclip: Callable[..., Outcome], run: Path, setting: str, said: str
) -> None:
    outcome = tclip("pack", str(run), "--set", setting)
    assert outcome.code == 2
    assert outcome.err == f"tclip: --set {setting} {said.format(run=run)}\n"


def test_a_relative_path_in_an_override_is_kept_absolute(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    given = open_with(run, "eval", ["eval.data=./pets"])
    assert given.recipe.eval.data == (str(data / "pets"),)
    assert open_run(run).recipe.eval.data != given.recipe.eval.data
    given.begin("eval")
    assert given == open_run(run)
    assert "eval" not in given.finished()


def test_a_limit_that_is_refused_leaves_a_finished_run_as_it_was(
    tclip: Callable[..., Outcome], run: Path
) -> None:
    (run / "steps").mkdir(exist_ok=True)
    (run / "steps" / "kept").touch()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for limit, said in (("budget=3kB", "cannot be met"), ("budget=1GB", "leaves nothing to be ternary")):
        few = ("--set", "sensitivity.pairs=4", "--set", "sensitivity.unseen=2")
        outcome = tclip("calibrate", str(run), "--set", f"quantize.{limit}", *few)
        assert outcome.code == 2
        assert said in outcome.err
        rated = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        rated.pop(run / "results" / "sensitivity.json", None)  # for the next try
        assert rated == before


@pytest.mark.parametrize(
    ("stage", "writer"),
    [
        ("calibrate", "tclip.calibrate.stage.write_packed"),
        ("train", "tclip.distill.stage.Trainer"),
        ("pack", "tclip.packed.stage.write_packed"),
        ("export", "tclip.export.stage.export_checked"),
        ("eval", "tclip.evaluate.stage.measured"),
    ],
)
def test_a_stage_that_is_stopped_as_it_writes_does_not_pass_for_finished(
    run: Path, monkeypatch: pytest.MonkeyPatch, stage: str, writer: str
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, stop)
    before = list(open_run(run).finished())
    with pytest.raises(KeyboardInterrupt):
        run_stage(open_run(run), stage, Collected())
    assert list(open_run(run).finished()) == before[: before.index(stage)]


def test_how_images_are_cropped_is_told_to_training(tclip: Callable[..., Outcome], run: Path) -> None:
    outcome = tclip("train", str(run), "--set", "data.views=2")
    assert outcome.code == 0, outcome.err
    assert open_run(run).recipe.data.views == 2
    assert tclip("pack", str(run)).code == 0


@pytest.mark.parametrize("arguments", [("--data", "petz"), ("--limit", "0"), ("--set", "eval.form=packed")])
def test_a_mistake_leaves_the_recipe_as_it_was(
    tclip: Callable[..., Outcome], compressed: tuple[Path, Outcome], arguments: tuple[str, ...]
) -> None:
    folder, _ = compressed
    before = (folder / "recipe.yaml").read_text()
    outcome = tclip("eval", str(folder), *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert (folder / "recipe.yaml").read_text() == before


def test_a_run_that_is_finished_shows_its_table_again(
    tclip: Callable[..., Outcome],
    compressed: tuple[Path, Outcome],
    tiny_folder: Callable[[str], Path],
    data: Path,
) -> None:
    folder, first = compressed
    sources = ["--data", f"{data / 'pairs'}", "--eval", f"{data / 'pairs'}", "--eval", f"{data / 'pets'}"]
    outcome = tclip("compress", str(tiny_folder("clip")), *sources, "--out", str(folder), *SET, "--resume")
    assert outcome.code == 0
    assert outcome.err.count("finished before") == 5
    assert outcome.out == first.out[-len(outcome.out) :]
    assert list(titles(outcome.out)) == [f"{folder}: the original and its ternary forms"]


def test_another_run_in_the_same_folder_is_refused(
    tclip: Callable[..., Outcome],
    compressed: tuple[Path, Outcome],
    tiny_folder: Callable[[str], Path],
    data: Path,
) -> None:
    folder, _ = compressed
    same = ("compress", str(tiny_folder("clip")), "--data", str(data / "pairs"), "--out", str(folder), *SET)
    for arguments, reason in (((), "add --resume"), (("--resume", "--set", "train.steps=9"), "train.steps")):
        outcome = tclip(*same, *arguments)
        assert outcome.code == 2
        assert reason in outcome.err.splitlines()[-1]
