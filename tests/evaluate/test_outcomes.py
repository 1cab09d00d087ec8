"""What became of every sample: scored, kept, read."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tclip.errors import DataError
from tclip.evaluate.outcomes import kind_of, metrics_of, read_outcome, write_outcome
from tclip.evaluate.retrieval import retrieve
from tclip.evaluate.zeroshot import classify


def classified(seed, num=12, num_classes=8):
    generator = torch.Generator().manual_seed(seed)
    image, classifier = (torch.randn(n, 4, generator=generator) for n in (num, num_classes))
    return classify(image, classifier, torch.randint(0, num_classes, (num,), generator=generator))


def retrieved(seed, num=8):
    generator = torch.Generator().manual_seed(seed)
    owner = torch.arange(num).repeat_interleave(torch.randint(1, 4, (num,), generator=generator))
    image, text = torch.randn(num, 3, generator=generator), torch.randn(len(owner), 3, generator=generator)
    return retrieve(image, text, owner)


def repeated_classified(outcome, times):
    return {name: np.repeat(array, times) for name, array in outcome.items()}


def repeated_retrieved(outcome, times):
    """Every image with its texts as often as it is drawn; the ranks stay those of the whole set."""
    images = np.repeat(np.arange(len(times)), times)
    texts = [np.flatnonzero(outcome["owner"] == image) for image in images]
    return {
        "owner": np.repeat(np.arange(len(images)), [len(each) for each in texts]),
        "image_rank": outcome["image_rank"][np.concatenate(texts)],
        "text_rank": outcome["text_rank"][images],
    }


@pytest.mark.parametrize(
    ("make", "repeat"), [(classified, repeated_classified), (retrieved, repeated_retrieved)]
)
@given(seed=st.integers(0, 99))
def test_a_resample_scores_as_the_set_that_it_holds(make, repeat, seed):
    outcome = make(seed)
    kind = kind_of(outcome)
    units = kind.units(outcome)
    times = np.random.default_rng(seed).multinomial(len(units), [1 / len(units)] * len(units), size=3)
    scores = kind.scores(units, times)
    for row, each in enumerate(times):
        expected = metrics_of(repeat(outcome, each))
        assert {name: score[row] for name, score in scores.items()} == pytest.approx(expected)


@pytest.mark.parametrize("make", [classified, retrieved])
def test_what_is_written_is_read(make, tmp_path):
    outcome = make(0)
    write_outcome(outcome, tmp_path / "new/o.safetensors", "id")
    found = read_outcome(tmp_path / "new/o.safetensors", "id")
    assert found.keys() == outcome.keys()
    for name, array in outcome.items():
        np.testing.assert_array_equal(found[name], array)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["o.safetensors"]


def test_a_sample_takes_few_bytes(tmp_path):
    outcome = {"label": np.arange(50_000) % 1000, "rank": np.arange(50_000) % 1000}
    write_outcome(outcome, tmp_path / "o.safetensors", "id")
    assert (tmp_path / "o.safetensors").stat().st_size < 50_000 * 4 + 1000
    outcome = {"label": np.arange(50_000) % 10, "rank": np.arange(50_000) % 10}
    write_outcome(outcome, tmp_path / "o.safetensors", "id")
    assert (tmp_path / "o.safetensors").stat().st_size < 50_000 * 2 + 1000


def test_what_cannot_belong_to_the_record_is_refused(tmp_path):
    path = tmp_path / "o.safetensors"
    with pytest.raises(DataError, match="cannot be read"):
        read_outcome(path, "id")
    write_outcome(classified(0), path, "other")
    with pytest.raises(DataError, match="another measurement"):
        read_outcome(path, "id")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="cannot be read"):
        read_outcome(path, "other")
    with pytest.raises(DataError, match="no measurement with place"):
        kind_of({"place": np.zeros(3)})


def test_records_can_be_made_of_it():
    json.dumps(metrics_of(classified(1)) | metrics_of(retrieved(1)))
