"""Two models beside each other, from records on disk."""

import pytest

from tclip.errors import DataError
from tclip.evaluate.suite.compare import compare_results
from tclip.evaluate.suite.results import default_results, find_results
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


def test_nothing_in_common_is_an_error(results):
    keep(results / "c", "cars", classified(0.5), samples="elsewhere")
    with pytest.raises(DataError, match=r"no results to compare:(.|\n)*cars: measured on other samples"):
        compared(results / "a", results / "c")


def test_a_damaged_outcome_is_named(results):
    (results / "a/mnist.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match=r"a/mnist\.safetensors cannot be read"):
        compared(results / "a", results / "b")


def test_results_are_found_by_folder_run_and_model(results, monkeypatch):
    monkeypatch.chdir(results)
    keep(results / "run/results/packed", "mnist", classified(0.5))
    (results / "run/recipe.yaml").write_text("")
    keep(default_results("org/clip"), "mnist", classified(0.5))
    assert find_results("a").records.keys() == {"mnist", "flickr8k", "vtab/dmlab", "cars", "stl10"}
    assert find_results("run").folder.as_posix() == "run/results/packed"
    assert find_results("org/clip").folder.as_posix() == "results/org-clip"
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
        ("openai/clip-vit-base-patch32", "openai-clip-vit-base-patch32"),
        ("./my-clip/", "my-clip"),
        ("../runs/x/packed", "runs-x-packed"),
        ("ViT-B-32", "ViT-B-32"),
    ],
)
def test_results_of_a_model_are_called_after_it(model, folder):
    assert default_results(model).as_posix() == f"results/{folder}"
