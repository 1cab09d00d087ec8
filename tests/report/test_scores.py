"""Which records count, and what is kept."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tclip.errors import DataError, FormatError
from tclip.evaluate.record import read_record, write_record
from tclip.evaluate.suite.compare import comparison
from tclip.evaluate.suite.results import find_results
from tclip.progress import Collected
from tclip.report.before_after import scores_section
from tclip.report.page import Absent, Section
from tclip.report.scores import read_scores
from tclip.run import Run

pytestmark = pytest.mark.usefixtures("undrawn")


def change(path: Path, **changes: object) -> None:
    write_record(replace(read_record(path), **changes), path)


def test_every_main_metric_of_every_form(run: Run) -> None:
    found = read_scores(run)
    assert [(score.dataset, score.label) for score in found.scores] == [
        ("seen", "text to image R@1"),
        ("seen", "image to text R@1"),
        ("zoo", "top-1"),
    ]
    for score in found.scores:
        records = {form: read_record(run.results / form / f"{score.dataset}.json") for form in score.values}
        assert set(records) == {"original", "packed"}
        assert score.values == {form: record.metrics[score.metric] for form, record in records.items()}
        assert score.num_samples == records["packed"].num_samples
    assert found.stale == ()


def test_every_other_metric_is_told_too(run: Run) -> None:
    found = read_scores(run)
    told = {(score.dataset, score.metric) for score in (*found.scores, *found.further)}
    records = [read_record(path) for path in (run.results / "packed").glob("*.json")]
    assert told == {(record.dataset, metric) for record in records for metric in record.metrics}
    assert len(told) == len(found.scores) + len(found.further)
    section = scores_section(found)
    assert isinstance(section, Section)
    assert [row[:2] for row in section.tables[1].table.rows] == [
        [score.dataset, score.label] for score in found.further
    ]
    assert "text to image R@5" in {score.label for score in found.further}
    assert all(score.change for score in found.further if score.metric != "expected_calibration_error")


def test_the_interval_is_that_of_eval_compare(run: Run) -> None:
    original, packed = (find_results(str(run.results / form)) for form in ("original", "packed"))
    rows = {tuple(row[:2]): row for row in comparison(original, packed, Collected()).rows}
    for score in read_scores(run).scores:
        low, high = rows[(score.dataset, f"{score.label}, %")][5:7]
        assert score.change is not None
        assert [round(100 * end, 2) for end in score.change] == [low, high]


def test_without_outcomes_there_is_no_interval(run: Run) -> None:
    for outcome in run.results.glob("*/*.safetensors"):
        outcome.unlink()
    assert {score.change for score in read_scores(run).scores} == {None}


def test_a_record_of_other_weights_is_left_out_and_said(run: Run) -> None:
    change(run.results / "packed/zoo.json", weights="other")
    found = read_scores(run)
    assert found.stale == ("packed",)
    assert [set(score.values) for score in found.scores if score.dataset == "zoo"] == [{"original"}]
    section = scores_section(found)
    assert isinstance(section, Section)
    assert "packed was measured on other weights" in section.text[-1]


def test_a_form_that_the_run_no_longer_holds_is_stale(run: Run) -> None:
    shutil.copytree(run.results / "packed", run.results / "onnx")
    assert read_scores(run).stale == ("onnx",)


def test_scores_on_other_images_stand_in_rows_of_their_own(run: Run) -> None:
    change(run.results / "packed/zoo.json", samples="fewer", num_samples=3)
    change(run.results / "packed/seen.json", samples="others")
    found = read_scores(run).scores
    assert [(score.dataset, set(score.values), score.num_samples, score.kept) for score in found] == [
        *[("seen", {"original"}, 12, None)] * 2,
        *[("seen", {"packed"}, 12, None)] * 2,
        ("zoo", {"original"}, 7, None),
        ("zoo", {"packed"}, 3, None),
    ]


def test_what_is_kept_is_a_share_where_the_original_is_above_chance(run: Run) -> None:
    for form, accuracy, recall in (("original", 0.9, 0.1), ("packed", 0.6, 0.1)):
        path = run.results / form / "zoo.json"
        change(path, metrics={"acc1": accuracy, "mean_per_class_recall": accuracy}, num_samples=1000)
        metrics = read_record(run.results / form / "seen.json").metrics
        change(run.results / form / "seen.json", metrics=dict.fromkeys(metrics, recall))
    found = read_scores(run)
    assert found.kept == {"zoo": pytest.approx(2 / 3)}
    assert found.mean_kept == pytest.approx(2 / 3)
    section = scores_section(found)
    assert isinstance(section, Section)
    assert "keeps 66.7% of the original's score: the mean over the 1 data set" in section.text[0]


def test_nothing_measured_names_the_command(run: Run) -> None:
    shutil.rmtree(run.results)
    absent = scores_section(read_scores(run))
    assert isinstance(absent, Absent)
    assert absent.command == "tclip eval RUN --data DIR"


def test_only_stale_records_name_the_command(run: Run) -> None:
    for path in run.results.glob("*/*.json"):
        change(path, weights="other")
    absent = scores_section(read_scores(run))
    assert isinstance(absent, Absent)
    assert (absent.why.startswith("original and packed were"), absent.command) == (True, "tclip eval RUN")


def test_the_table_and_the_plot_hold_every_score(run: Run) -> None:
    section = scores_section(read_scores(run))
    assert isinstance(section, Section)
    (sheet, _), (plot,) = section.tables, section.plots
    assert sheet.table.columns == [
        *("data set", "metric, %", "images", "chance", "original", "packed", "kept", "change")
    ]
    zoo = read_record(run.results / "original/zoo.json")
    original = round(100 * zoo.metrics["acc1"], 1)
    assert sheet.table.rows[2][:5] == ["zoo", "top-1", 7, 33.3, original]
    assert f"zoo top-1: original {original}, packed" in plot.alt


def test_damaged_files_are_named(run: Run) -> None:
    config = run.packed / "config.json"
    document = json.loads(config.read_text())
    del document["quantization_config"]["base_model"]
    config.write_text(json.dumps(document))
    with pytest.raises(FormatError, match="pack the model again"):
        read_scores(run)
    (run.results / "original/zoo.json").write_text("{")
    with pytest.raises(DataError, match="measure again"):
        read_scores(run)
