import json
from dataclasses import replace

import pytest

from tclip.errors import DataError
from tclip.evaluate.record import Record, other_data, read_record, write_record

RECORD = Record(
    dataset="pets",
    model="m",
    pretrained="packed",
    task="zeroshot_classification",
    metrics={"acc1": 0.5},
    num_samples=4,
    seconds=1.5,
)


def test_a_record_has_the_shape_of_clip_benchmark(tmp_path):
    write_record(RECORD, tmp_path / "new" / "r.json")
    document = json.loads((tmp_path / "new/r.json").read_text())
    assert {"dataset", "model", "pretrained", "task", "metrics", "language"} <= set(document)
    assert document["language"] == "en"


def test_what_is_written_is_read(tmp_path):
    write_record(RECORD, tmp_path / "r.json")
    assert read_record(tmp_path / "r.json") == RECORD


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_record(RECORD, tmp_path / "r.json")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_record(replace(RECORD, metrics={"acc1": float("nan")}), tmp_path / "r.json")
    assert read_record(tmp_path / "r.json") == RECORD
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize("text", ["{", "[]", '{"dataset": "x"}', "3"])
def test_what_is_no_record_is_refused(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataError, match=r"r\.json is no result of tclip eval"):
        read_record(tmp_path / "r.json")
    with pytest.raises(DataError, match=r"nothing\.json"):
        read_record(tmp_path / "nothing.json")


def test_a_record_of_an_earlier_version_is_read(tmp_path):
    write_record(replace(RECORD, samples="s", images="i", prompts="p"), tmp_path / "r.json")
    document = json.loads((tmp_path / "r.json").read_text())
    for name in ("images", "prompts", "embedding_version"):
        del document[name]
    (tmp_path / "r.json").write_text(json.dumps(document))
    assert read_record(tmp_path / "r.json") == replace(RECORD, samples="s")


TOLD = replace(RECORD, samples="s", images="i", prompts="p")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"samples": "t", "images": "j", "prompts": "q"}, "other samples"),
        ({"images": "j", "prompts": "q"}, "other pictures"),
        ({"prompts": "q"}, "other class names or templates"),
        ({"images": "", "prompts": ""}, ""),  # an older record
        ({"samples": ""}, "other samples"),
    ],
)
def test_what_two_measurements_were_not_both_on_is_told(changes, told):
    assert other_data(TOLD, replace(TOLD, **changes)) == other_data(replace(TOLD, **changes), TOLD) == told
