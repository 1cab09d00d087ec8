import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from tclip.data.eval_sets import open_eval
from tclip.errors import DataError
from tclip.evaluate.record import other_data
from tclip.evaluate.run import evaluate
from tests.data.making import (
    class_members,
    multilabel_members,
    pair_members,
    picture,
    write_layout,
    write_tar,
)


def by_number(number):
    return np.eye(16, dtype=np.float32)[number]


class Oracle:
    """Knows picture n by its pixels, and its texts by the number in them."""

    def __init__(self, forms="PNG"):
        from tclip.data.screen import decode

        self.known = {decode(picture(n, forms)).tobytes(): n for n in range(16)}
        self.images = []

    def embed_images(self, images):
        self.images.append(len(images))
        return np.stack([by_number(self.known[image.tobytes()] % self.classes) for image in images])

    def embed_texts(self, texts):
        return torch.from_numpy(np.stack([by_number(int(text.split()[-1])) for text in texts]))

    classes = 16


@pytest.fixture
def pets(tmp_path):
    labels = [number % 3 for number in range(7)]
    return open_eval(
        str(
            write_layout(
                tmp_path / "pets",
                {"test": [class_members(labels[:4]), class_members(labels[4:], first=4)]},
                classnames="0\n1\n2\n",
                zeroshot_classification_templates="a {c}\nthe {c}\n",
            )
        )
    )


@pytest.fixture
def captioned(tmp_path):
    root = write_layout(
        tmp_path / "seen",
        {"test": [pair_members(range(6)), pair_members(range(6, 11))]},
        dataset_type="retrieval",
    )
    return open_eval(str(root))


class ByClass(Oracle):
    classes = 3


def test_classification(pets):
    encoder, told = ByClass(), []
    record, _ = evaluate(encoder, pets, model="m", pretrained="packed", batch_size=3, progress=told.append)
    assert record.metrics == {"acc1": 1.0, "mean_per_class_recall": 1.0}
    assert (record.dataset, record.model, record.pretrained) == ("pets", "m", "packed")
    assert (record.task, record.num_samples) == ("zeroshot_classification", 7)
    assert encoder.images == [3, 3, 1] and told == [3, 6, 7]
    assert record.seconds > 0


def test_retrieval(captioned):
    record, _ = evaluate(Oracle("JPEG"), captioned, batch_size=4)
    assert record.task == "zeroshot_retrieval"
    assert set(record.metrics.values()) == {1.0} and len(record.metrics) == 6
    assert record.num_samples == 11


def test_a_wrong_model_scores_low(captioned):
    class Wrong(Oracle):
        def embed_images(self, images):
            return np.roll(super().embed_images(images), 1, axis=1)

    # The first text is like no image, so all tie, and the first image is its own.
    assert evaluate(Wrong("JPEG"), captioned).record.metrics["image_retrieval_recall@1"] == 1 / 11


def test_a_limit_looks_at_the_first_only(pets, captioned):
    assert evaluate(ByClass(), pets, limit=5).record.num_samples == 5
    assert evaluate(Oracle("JPEG"), captioned, limit=3).record.num_samples == 3


def test_a_broken_test_image_stops_the_measurement(tmp_path):
    members = [*class_members([0]), ("x.jpg", b"<html>"), ("x.cls", b"1")]
    root = write_layout(
        tmp_path, {"test": [members]}, classnames="0\n1\n", zeroshot_classification_templates="a {c}\n"
    )
    with pytest.raises(DataError, match=r"test/0\.tar\[1\]/x cannot be decoded"):
        evaluate(ByClass(), open_eval(str(root)))


def test_a_record_says_what_was_measured_and_how_fast(pets, captioned):
    record, outcome = evaluate(ByClass(), pets, weights="abc", limit=5)
    assert (record.weights, record.data, record.limit) == ("abc", pets.fingerprint(), 5)
    assert record.chance == pytest.approx(1 / 3)
    assert outcome["label"].tolist() == [0, 1, 2, 0, 1] and outcome["rank"].tolist() == [0] * 5
    assert set(record.throughput) == {"images_per_second", "texts_per_second"}
    assert record.samples != evaluate(ByClass(), pets).record.samples
    assert evaluate(Oracle("JPEG"), captioned).record.chance == pytest.approx(1 / 11)


def test_a_copy_of_the_data_has_the_same_samples(pets, tmp_path):
    copy = shutil.copytree(pets.spec, tmp_path / "copy")
    (copy / "test/nshards.txt").touch()
    os.utime(copy / "test/0.tar", ns=(1, 1))
    first, second = (evaluate(ByClass(), each).record for each in (pets, open_eval(str(copy))))
    assert first.data != second.data and first.samples == second.samples


def renamed(root):
    (root / "classnames.txt").write_text("0\n1\n3\n")


def retemplated(root):
    (root / "zeroshot_classification_templates.txt").write_text("one {c}\n")


def repainted(root):
    members = class_members([1, 2, 0], first=4)
    write_tar(
        root / "test/1.tar", [(name, data if "cls" in name else picture(9, "PNG")) for name, data in members]
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (renamed, "other class names or templates"),
        (retemplated, "other class names or templates"),
        (repainted, "other pictures"),
        (lambda root: None, ""),
    ],
)
def test_other_prompts_and_pictures_of_the_same_names_are_told_apart(pets, change, told):
    before = evaluate(ByClass(), pets).record
    change(Path(pets.spec))
    after = evaluate(ByClass(), open_eval(pets.spec)).record
    assert before.samples == after.samples
    assert other_data(before, after) == told


def test_confidence_is_judged_where_the_logit_scale_is_known(pets):
    class Sure(ByClass):
        logit_scale = 100.0

    class Unsure(ByClass):
        logit_scale = 0.0

    class Silent(ByClass):
        logit_scale = None

    errors = [
        evaluate(encoder, pets).record.metrics.get("expected_calibration_error")
        for encoder in (Sure(), Unsure(), Silent(), ByClass())
    ]
    assert errors == [pytest.approx(0, abs=1e-6), pytest.approx(2 / 3), None, None]


def test_top_five_of_five_is_not_reported(tmp_path):
    class Five(Oracle):
        classes = 5

    class Six(Oracle):
        classes = 6

    found = []
    for encoder in (Five(), Six()):
        texts = {"classnames": "".join(f"{n}\n" for n in range(encoder.classes))}
        texts["zeroshot_classification_templates"] = "a {c}\n"
        root = write_layout(tmp_path / str(encoder.classes), {"test": [class_members([0, 1, 2])]}, **texts)
        found.append(evaluate(encoder, open_eval(str(root))).record.metrics.get("acc5"))
    assert found == [None, 1.0]


def test_a_multilabel_set_is_ranked_by_class(tmp_path):
    # picture n looks like class n mod 3, and shows that class alone, except for the last: it shows none
    marks = [[int(number % 3 == index) for index in range(3)] for number in range(6)]
    texts = {"classnames": "0\n1\n2\n", "zeroshot_classification_templates": "a {c}\n"}
    members = multilabel_members([*marks[:5], [0, 0, 0]])
    root = write_layout(tmp_path, {"test": [members]}, dataset_type="multilabel", **texts)
    record, outcome = evaluate(ByClass(), open_eval(str(root)))
    assert record.metrics == {"mean_average_precision": 1.0}
    assert record.task == "zeroshot_classification" and record.chance == pytest.approx(5 / 18)
    assert outcome["target"].sum() == 5


class Parted(ByClass):
    """Prepares in threads; what the towers get must have been prepared, in order."""

    def __init__(self):
        super().__init__()
        self.threads = {"images": set(), "texts": set()}

    def prepare_images(self, images):
        self.threads["images"].add(threading.current_thread().name)
        return {"images": torch.tensor([self.known[image.tobytes()] for image in images])}

    def prepare_texts(self, texts):
        self.threads["texts"].add(threading.current_thread().name)
        return {"texts": torch.tensor([int(text.split()[-1]) for text in texts])}

    def embed_image_inputs(self, inputs):
        return torch.eye(16)[inputs["images"] % 3]

    def embed_text_inputs(self, inputs):
        return torch.eye(16)[inputs["texts"]]


def test_images_and_texts_are_prepared_ahead_of_the_towers(pets):
    encoder = Parted()
    assert evaluate(encoder, pets, batch_size=2).record.metrics["acc1"] == 1
    names = [name for of_kind in encoder.threads.values() for name in of_kind]
    assert names and all(name.startswith("tclip-data") for name in names)
    assert len(encoder.threads["texts"]) == 1
