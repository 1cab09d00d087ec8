"""The table of a suite, and public models beside it."""

from dataclasses import replace

import pytest

from tclip.evaluate.suite.public import COLUMNS, NUM_IMAGES, partly_measured, public_models, public_table
from tclip.evaluate.suite.table import suite_table

from .making import record

RECALLS = {"image_retrieval_recall@1": 0.2, "text_retrieval_recall@1": 0.4}


def forms():
    """An original that is at chance on cars, and what came of it."""

    def of_form(gain):
        return {
            "mnist": record(
                "mnist",
                metrics={
                    "acc1": 0.5 + gain,
                    "mean_per_class_recall": 0.4,
                    "expected_calibration_error": 0.03,
                },
            ),
            "cars": record("cars", metrics={"acc1": 0.1, "mean_per_class_recall": 0.1}),
            "vtab/pets": record("vtab/pets", metrics={"acc1": 0.2, "mean_per_class_recall": 0.6 + gain}),
            "flickr8k": record("flickr8k", "zeroshot_retrieval", metrics=RECALLS, chance=0.001),
        }

    return {"original": of_form(0.0), "packed": of_form(-0.1)}


def rows_of(table):
    return {(row[0], row[1]): row[2:] for row in table.rows}


def test_every_main_score_has_a_row_and_averages_follow():
    table = suite_table("my-clip", forms(), ["dtd"])
    assert table.columns == ["data set", "metric", "original", "packed"]
    assert rows_of(table) == {
        ("mnist", "top-1, %"): [50.0, 40.0],
        ("cars", "top-1, %"): [10.0, 10.0],
        ("vtab/pets", "mean recall of the classes, %"): [60.0, 50.0],
        ("flickr8k", "text to image R@1, %"): [20.0, 20.0],
        ("flickr8k", "image to text R@1, %"): [40.0, 40.0],
        ("dtd", "not measured"): [None, None],
        ("average of 4", "main score, %"): [37.5, 32.5],
        ("3 discriminative", "main score, %"): [46.7, 40.0],
        ("average of 1", "calibration error, %"): [3.0, 3.0],
        ("all", "images a second"): [10.0, 10.0],
    }


def test_without_an_original_the_stored_list_tells_what_is_discriminative():
    records = {"packed": {**forms()["packed"], "vtab/dmlab": record("vtab/dmlab")}}
    rows = rows_of(suite_table("m", records, []))
    assert ("average of 5", "main score, %") in rows
    assert rows["4 discriminative", "main score, %"] == [32.5]


def test_a_suite_of_tasks_at_chance_has_no_second_average():
    found = rows_of(suite_table("m", {"packed": {"vtab/dmlab": record("vtab/dmlab")}}, []))
    assert [what for what, _ in found] == ["vtab/dmlab", "average of 1", "all"]


@pytest.mark.parametrize(
    ("limit", "title"),
    [(None, "m: 4 of 5 data sets"), (1000, "m: 4 of 5 data sets, no more than 1,000 images of each")],
)
def test_a_limit_stands_in_the_title(limit, title):
    records = {
        form: {name: replace(each, limit=limit) for name, each in found.items()}
        for form, found in forms().items()
    }
    assert suite_table("m", records, ["dtd"]).title == title


def test_public_models_have_numbers_in_percent():
    models = public_models()
    assert len(models) == 11 and len({model["model"] for model in models}) == 11
    for model in models:
        scores = [
            float(value) for name, value in model.items() if name not in ("model", "params_m", "gflops")
        ]
        assert len(scores) == 6 and all(30 < score < 95 for score in scores)


def test_public_models_stand_beside_what_was_measured_on_their_tasks():
    imagenet = record("imagenet1k", metrics={"acc1": 0.6334}, num_samples=50_000)
    table = public_table({"original": {"imagenet1k": imagenet}})
    assert table is not None
    assert table.rows[0] == ["original", None, 63.3, None, None, None, None, None]
    (b32,) = (row for row in table.rows if row[0] == "ViT-B-32 openai")
    assert b32 == ["ViT-B-32 openai", 151.28, 63.32, 58.78, 78.9, 30.44, 50.12, 52.45]
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_what_was_not_measured_on_all_images_is_named_and_not_beside_public_models():
    imagenet = record("imagenet1k", metrics={"acc1": 0.9}, num_samples=64, limit=64)
    whole = record("flickr30k", "zeroshot_retrieval", metrics=RECALLS, num_samples=1000, limit=5000)
    told = ["imagenet1k: measured on 64 images, the published scores are of 50,000"]
    records = {form: {"imagenet1k": imagenet, "flickr30k": whole} for form in ("original", "packed")}
    assert partly_measured(records) == told
    assert public_table(records).rows[0] == ["original", None, None, 20.0, 40.0, None, None, None]
    alone = {"original": {"imagenet1k": imagenet}}
    assert partly_measured(alone) == told and public_table(alone) is None


def test_the_number_of_images_is_known_of_every_task_of_public_models():
    assert NUM_IMAGES.keys() == {dataset for dataset, _, _ in COLUMNS.values()}


@pytest.mark.parametrize("name", ["mnist", "flickr8k"])
def test_without_a_task_of_theirs_there_is_no_such_table(name):
    assert public_table({"packed": {name: forms()["packed"][name]}}) is None
