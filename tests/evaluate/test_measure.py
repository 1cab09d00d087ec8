"""A measurement is made once, and again when what it depends on has changed."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tclip.data.eval_sets import open_eval
from tclip.evaluate.measure import Settings, measured, measurement_id, outcome_path
from tclip.evaluate.outcomes import metrics_of, read_outcome, write_outcome
from tclip.evaluate.record import read_record
from tclip.evaluate.subject import Subject
from tclip.progress import Collected
from tclip.run import fingerprint
from tests.data.making import class_members, write_layout

SETTINGS = Settings(batch_size=4)


class Random:
    """Embeds at random, and counts the images."""

    def __init__(self, broken=False):
        self.seen, self.broken = 0, broken

    def embed_images(self, images):
        if self.broken and self.seen:
            raise KeyboardInterrupt
        self.seen += len(images)
        return np.random.default_rng(len(images)).standard_normal((len(images), 3))

    def embed_texts(self, texts):
        return torch.eye(3)[: len(texts)]


def subject(encoder, weights="w"):
    return Subject("m", "packed", weights, lambda: encoder)


@pytest.fixture
def pets(tmp_path):
    texts = {"classnames": "0\n1\n2\n", "zeroshot_classification_templates": "a {c}\n"}
    return write_layout(tmp_path / "pets", {"test": [class_members([0, 1, 2, 0, 1, 2])]}, **texts)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results/pets.json"


def measure(pets, path, encoder, weights="w", settings=SETTINGS):
    told, found = Collected(), open_eval(str(pets))
    return measured(subject(encoder, weights), found, path, settings, told, " (1 of 2)"), told.notes


def test_a_record_and_what_became_of_each_sample_are_written(pets, path):
    record, notes = measure(pets, path, Random())
    assert read_record(path) == record and notes == []
    outcome = read_outcome(outcome_path(path), measurement_id(record))
    assert metrics_of(outcome).items() >= record.metrics.items()


def test_the_second_time_nothing_is_loaded(pets, path):
    record, _ = measure(pets, path, Random())
    untouched = Subject("m", "packed", "w", lambda: pytest.fail("the model is loaded"))
    told = Collected()
    assert measured(untouched, open_eval(str(pets)), path, SETTINGS, told) == record
    assert told.notes == ["eval packed on pets: measured before"]


def test_other_weights_data_or_limit_are_measured(pets, path):
    measure(pets, path, Random())
    for weights, settings in (("v", SETTINGS), ("v", replace(SETTINGS, limit=5))):
        encoder = Random()
        record, _ = measure(pets, path, encoder, weights, settings)
        assert encoder.seen == record.num_samples == (settings.limit or 6)
    (pets / "classnames.txt").write_text("0\n2\n1\n")
    encoder = Random()
    measure(pets, path, encoder, "v", replace(SETTINGS, limit=5))
    assert encoder.seen == 5


def halved(path):
    path.write_text("{")


def emptied(path):
    outcome_path(path).write_bytes(b"")


def exchanged(path):
    write_outcome(
        read_outcome(outcome_path(path), measurement_id(read_record(path))), outcome_path(path), "other"
    )


@pytest.mark.parametrize("spoil", [halved, emptied, exchanged])
def test_a_damaged_measurement_is_made_again(pets, path, spoil):
    measure(pets, path, Random())
    spoil(path)
    encoder = Random()
    record, notes = measure(pets, path, encoder)
    assert encoder.seen == 6 and read_record(path) == record
    assert notes == [
        f"eval packed on pets (1 of 2): measured again, since {path} or the file beside it is damaged"
    ]
    assert measure(pets, path, encoder)[1] == ["eval packed on pets (1 of 2): measured before"]


def test_half_a_measurement_is_made_again(pets, path):
    measure(pets, path, Random())
    outcome_path(path).unlink()
    encoder = Random()
    record, notes = measure(pets, path, encoder)
    assert encoder.seen == 6 and read_record(path) == record and notes == []


def test_a_measurement_that_tells_less_is_kept(pets, path):
    record, _ = measure(pets, path, Random())
    outcome = read_outcome(outcome_path(path), measurement_id(record))
    write_outcome(outcome, outcome_path(path), fingerprint(record.weights, record.samples))
    document = json.loads(path.read_text())
    for name in ("images", "prompts"):
        del document[name]
    path.write_text(json.dumps(document))
    encoder = Random()
    assert measure(pets, path, encoder)[0] == replace(record, images="", prompts="")
    assert encoder.seen == 0


def test_another_way_to_embed_is_measured(pets, path, monkeypatch):
    measure(pets, path, Random())
    for module in ("measure", "run"):
        monkeypatch.setattr(f"tclip.evaluate.{module}.EMBEDDING_VERSION", 99)
    encoder = Random()
    measure(pets, path, encoder)
    assert encoder.seen == 6 and read_record(path).embedding_version == 99


def test_a_measurement_that_tells_no_version_is_of_the_first(pets, path):
    measure(pets, path, Random())
    document = json.loads(path.read_text())
    del document["embedding_version"]
    path.write_text(json.dumps(document))
    encoder = Random()
    measure(pets, path, encoder)
    assert encoder.seen == 6


def test_an_interrupted_measurement_leaves_the_one_before(pets, path):
    before, _ = measure(pets, path, Random())
    with pytest.raises(KeyboardInterrupt):
        measure(pets, path, Random(broken=True), "v")
    assert read_record(path) == before
    read_outcome(outcome_path(path), measurement_id(before))
    assert sorted(each.name for each in path.parent.iterdir()) == ["pets.json", "pets.safetensors"]
