"""Two models beside each other, from records on disk."""

import os
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tclip.errors import DataError
from tclip.evaluate.subject import subject_of
from tclip.evaluate.suite.compare import compare_results
from tclip.evaluate.suite.results import default_results, find_results, record_path
from tclip.progress import Collected

from .making import classified, keep, retrieved


def compared(one, other):
    told = Collected()
    compare_results(str(one), str(other), told)
    return told.tables[-1], told.notes


@pytest.fixture
def results(tmp_path):
    """Folders a and b: b is far better on mnist, the same on flickr8k, and not on cars and stl10."""
    for folder, right, seed in (("a", 0.5, 1), ("b", 0.9, 2)):
        keep(tmp_path / folder, "mnist", classified(right, seed=seed), chance=0.25)
        keep(tmp_path / folder, "flickr8k", retrieved(0.5), chance=0.005)
        keep(tmp_path / folder, "vtab/dmlab", classified(0.25, seed=seed), chance=0.25)
    keep(tmp_path / "a", "cars", classified(0.5))
    keep(tmp_path / "a", "stl10", classified(0.5), samples="one")
    keep(tmp_path / "b", "stl10", classified(0.5), samples="other")
    return tmp_path


def test_a_row_tells_both_scores_their_difference_and_its_interval(results):
    table, _ = compared(results / "a", results / "b")
    assert table.columns[2:] == [
        *(str(results / name) for name in "ab"),
        "difference",
        "from",
        "to",
        "beyond chance",
    ]
    (mnist,) = (row for row in table.rows if row[0] == "mnist")
    _, metric, before, after, difference, low, high, beyond = mnist
    assert metric == "top-1, %" and beyond == "*"
    assert difference == pytest.approx(after - before, abs=0.11)
    assert 0 < low < difference < high
    same = [row for row in table.rows if row[0] == "flickr8k"]
    assert [row[1] for row in same] == ["text to image R@1, %", "image to text R@1, %"]
    assert all(row[4:] == [0, 0, 0, ""] for row in same)


def test_averages_are_over_all_and_over_what_the_first_is_clearly_above_chance_on(results):
    rows = {row[0]: row for row in compared(results / "a", results / "b")[0].rows}
    average, telling = rows["average of 3"], rows["2 discriminative"]
    gain = {name: rows[name][4] for name in ("mnist", "flickr8k", "vtab/dmlab")}
    assert average[4] == pytest.approx(sum(gain.values()) / 3, abs=0.02)
    assert telling[4] == pytest.approx((gain["mnist"] + gain["flickr8k"]) / 2, abs=0.02)
    assert telling[5] < telling[4] < telling[6] and telling[7] == "*"


def test_what_is_left_out_is_named(results):
    _, notes = compared(results / "a", results / "b")
    assert notes == [
        f"not compared: cars: {results / 'b'} was not measured on it",
        "not compared: stl10: measured on other samples",
    ]


@pytest.mark.parametrize("theirs", ["vtab/cifar10", "wds_vtab-cifar10", "cifar10"])
def test_a_task_has_several_names(tmp_path, theirs):
    keep(tmp_path / "a", "cifar10", classified(0.5), samples="same")
    keep(tmp_path / "b", theirs, classified(0.9, seed=1), samples="same")
    table, notes = compared(tmp_path / "a", tmp_path / "b")
    assert notes == []
    assert [row[0] for row in table.rows] == ["cifar10", "average of 1", "1 discriminative"]
    assert table.rows[0][3] - table.rows[0][2] == pytest.approx(table.rows[0][4], abs=0.11) != 0


def test_what_is_damaged_under_another_name_is_told_once(tmp_path):
    for folder, name in (("a", "cifar10"), ("b", "vtab/cifar10")):
        keep(tmp_path / folder, name, classified(0.5), samples="same")
        keep(tmp_path / folder, "mnist", classified(0.5))
    record_path(tmp_path / "b", "vtab/cifar10").write_text("{")
    _, notes = compared(tmp_path / "a", tmp_path / "b")
    (note,) = notes
    assert note.startswith("not compared: cifar10: ") and "is no result of tclip eval" in note


def test_no_record_is_lost_where_one_side_has_a_task_twice(tmp_path):
    keep(tmp_path / "a", "vtab/cifar10", classified(0.5), samples="same")
    for name in ("cifar10", "wds_vtab-cifar10"):
        keep(tmp_path / "b", name, classified(0.9, seed=1), samples="same")
    table, notes = compared(tmp_path / "a", tmp_path / "b")
    assert [row[0] for row in table.rows][:2] == ["vtab/cifar10", "average of 1"]
    assert notes == [f"not compared: wds_vtab-cifar10: {tmp_path / 'a'} was not measured on it"]


def test_names_that_both_have_are_left_alone(tmp_path):
    for folder in "ab":
        for name in ("cifar10", "vtab/cifar10"):
            keep(tmp_path / folder, name, classified(0.5), samples=name)
    table, notes = compared(tmp_path / "a", tmp_path / "b")
    assert notes == [] and {row[0] for row in table.rows} >= {"cifar10", "vtab/cifar10"}


def test_a_name_that_both_have_is_given_to_no_other(tmp_path):
    for folder, name in (("a", "vtab/cifar10"), ("b", "cifar10")):
        keep(tmp_path / folder, name, classified(0.5), samples="one")
        keep(tmp_path / folder, "wds_vtab-cifar10", classified(0.5), samples="other")
    table, notes = compared(tmp_path / "a", tmp_path / "b")
    assert notes == [] and {row[0] for row in table.rows} >= {"vtab/cifar10", "wds_vtab-cifar10"}


def test_nothing_in_common_is_an_error(results):
    keep(results / "c", "cars", classified(0.5), samples="elsewhere")
    with pytest.raises(DataError, match=r"no results to compare:(.|\n)*cars: measured on other samples"):
        compared(results / "a", results / "c")


@pytest.mark.parametrize("file", ["mnist.safetensors", "mnist.json"])
def test_what_is_damaged_is_named_and_the_rest_compared(results, file):
    (results / "a" / file).write_bytes(b"")
    table, notes = compared(results / "a", results / "b")
    assert "average of 2" in {row[0] for row in table.rows}
    (note,) = (note for note in notes if "mnist" in note)
    assert note.startswith(f"not compared: mnist: {results / 'a' / file} ")
    assert note.endswith(": measure again.")


def test_if_all_is_damaged_there_is_nothing_to_compare(tmp_path):
    for folder in "ab":
        keep(tmp_path / folder, "mnist", classified(0.5))
    (tmp_path / "a/mnist.json").write_text("{")
    with pytest.raises(DataError, match=r"no results to compare:\n  mnist: .*a/mnist\.json is no result"):
        compared(tmp_path / "a", tmp_path / "b")


def test_other_pictures_or_prompts_are_not_compared(results):
    keep(results / "a", "mnist", classified(0.5), images="one", prompts="one")
    keep(results / "b", "mnist", classified(0.5), images="other", prompts="one")
    keep(results / "a", "vtab/dmlab", classified(0.5), prompts="one")
    keep(results / "b", "vtab/dmlab", classified(0.5), prompts="other")
    table, notes = compared(results / "a", results / "b")
    assert {row[0] for row in table.rows} == {"flickr8k", "average of 1", "1 discriminative"}
    assert {
        "not compared: mnist: measured on other pictures",
        "not compared: vtab/dmlab: measured on other class names or templates",
    } <= set(notes)


def test_records_of_other_weights_than_the_newest_are_left_out_and_named(results):
    for name, when in (("mnist", 1), ("vtab/dmlab", 3), ("flickr8k", 2)):
        outcome = retrieved(0.5) if name == "flickr8k" else classified(0.5)
        keep(results / "a", name, outcome, weights="old" if name == "mnist" else "new")
        os.utime(record_path(results / "a", name), ns=(when, 1 << 62 | when))
    table, notes = compared(results / "a", results / "b")
    assert {row[0] for row in table.rows} >= {"vtab/dmlab", "flickr8k", "average of 2"}
    why = f"its record in {results / 'a'} is of other weights than the newest there: measure it again"
    assert [note for note in notes if "weights" in note] == [
        f"not compared: {name}: {why}" for name in ("mnist", "stl10", "cars")
    ]


def test_of_a_run_counts_what_was_measured_with_the_weights_that_it_has_now(results, tiny_folder):
    run = results / "run"
    (run / "recipe.yaml").parent.mkdir()
    (run / "recipe.yaml").write_text("")
    shutil.copytree(tiny_folder("clip"), run / "packed")
    now = subject_of(str(run / "packed")).weights
    for name, weights in (("mnist", now), ("vtab/dmlab", "before")):  # the newest is of a model that is gone
        keep(run / "results/packed", name, classified(0.5), weights=weights)
    table, notes = compared(results / "a", run)
    assert {row[0] for row in table.rows} >= {"mnist", "average of 1"}
    why = f"{run} was measured on it with other weights than it has now: measure it again"
    assert f"not compared: vtab/dmlab: {why}" in notes
    (run / "results/packed/mnist.json").unlink()
    with pytest.raises(DataError, match=r"no results to compare:(.|\n)* weights than it has now: measure"):
        compared(results / "a", run)


def test_results_are_found_by_folder_run_and_model(results, monkeypatch):
    monkeypatch.chdir(results)
    keep(results / "run/results/packed", "mnist", classified(0.5))
    (results / "run/recipe.yaml").write_text("")
    keep(default_results("org/clip"), "mnist", classified(0.5))
    assert find_results("a").records.keys() == {"mnist", "flickr8k", "vtab/dmlab", "cars", "stl10"}
    assert find_results("run").folder.as_posix() == "run/results/packed"
    assert find_results("org/clip").folder.as_posix() == "results/org--clip"
    with pytest.raises(
        DataError, match=r"no results of nothing .*results/nothing.*tclip eval nothing --suite"
    ):
        find_results("nothing")


def test_files_that_are_no_results_are_passed_over(tmp_path):
    keep(tmp_path, "mnist", classified(0.5))
    (tmp_path / "table.json").write_text("{}")
    assert find_results(str(tmp_path)).records.keys() == {"mnist"}


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("openai/clip-vit-base-patch32", "openai--clip-vit-base-patch32"),
        ("./my-clip/", "my-clip"),
        ("runs/x/packed", "runs--x--packed"),
        ("ViT-B-32", "ViT-B-32"),
        ("модель", "модель"),
        ("型号/二", "型号--二"),
    ],
)
def test_results_of_a_model_are_called_after_it(model, folder):
    assert default_results(model).as_posix() == f"results/{folder}"


@pytest.mark.parametrize(
    "model", ["../runs/x", "/runs/x", "a--b", "a b", "🐈", "..", "~/x", "a-/b", ".hidden"]
)
def test_what_a_name_alone_cannot_tell_has_a_hash(model):
    folder = default_results(model)
    assert folder.parent.as_posix() == "results"
    assert re.fullmatch(r"(.*-)?[0-9a-f]{8}", folder.name)


@given(st.lists(st.text("aé-./ \\:🐈", min_size=1), min_size=2, max_size=40))
@example(["a/b", "a-b", "a--b", "a_b", "a b", "a:b"])
@example(["модель", "клип", "модел"])
def test_no_two_models_share_a_folder(models):
    plain = {model.removeprefix("./").rstrip("/") for model in models}
    folders = {default_results(model) for model in models}
    assert len(folders) == len(plain)
    assert all(folder.parent == Path("results") and folder.name not in ("", "..") for folder in folders)
