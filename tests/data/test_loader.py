import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from tclip.data import decoder, loader
from tclip.data.decoder import Decoder
from tclip.data.loader import Extras, PairBatches, iter_images, iter_pairs
from tclip.data.sample import Sample
from tclip.data.screen import decode
from tclip.data.stream import PairStream
from tclip.data.texts import TextStream
from tclip.errors import DataError

from .making import Listed, broken_inside, listed, picture


def preprocess(images):
    pixels = [np.asarray(image.resize((8, 8)), np.float32) / 255 for image in images]
    return {"pixel_values": torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)}


def tokenize(texts, max_tokens=None):
    return {"input_ids": torch.tensor([[len(text), max_tokens or -1] for text in texts])}


def batches(sources, n, *, stream=None, batch_size=4, **options):
    made = PairBatches(
        PairStream(sources, **(stream or {})),
        batch_size=batch_size,
        preprocess=preprocess,
        tokenize=tokenize,
        **options,
    )
    return list(itertools.islice(made, n))


def facts(batch):
    return (
        batch.keys,
        batch.views,
        batch.captions,
        batch.images["pixel_values"].tolist(),
        batch.texts["input_ids"].tolist(),
    )


def number(key):
    return int(key.rsplit("k", 1)[1])


def test_a_batch_holds_what_it_names():
    for batch in batches([listed(20)], 7, text_tokens=9):
        for place, key in enumerate(batch.keys):
            assert batch.captions[place] in {
                f"{word} {number(key)}" for word in ("picture", "again", "thrice")
            }
            own = preprocess([decode(picture(number(key)))])["pixel_values"][0]
            assert torch.equal(batch.images["pixel_values"][place], own)
            assert batch.texts["input_ids"][place].tolist() == [len(batch.captions[place]), 9]
        assert batch.views == [0] * 4


def test_captions_vary_by_epoch_or_stay_the_first():
    seen = Counter(caption for batch in batches([listed(4)], 30) for caption in batch.captions)
    assert len(seen) == 12
    first = batches([listed(4)], 6, captions="first")
    assert all(caption.startswith("picture") for batch in first for caption in batch.captions)


def test_all_views_come_up_in_turn():
    shown = {}
    for batch in batches([listed(4)], 6, views=3):
        for place, (key, index) in enumerate(zip(batch.keys, batch.views, strict=True)):
            pixels = batch.images["pixel_values"][place]
            assert torch.equal(shown.setdefault((key, index), pixels), pixels)
    assert sorted(shown) == [(f"listed/k{key}", index) for key in range(4) for index in range(3)]


@pytest.mark.parametrize("workers", [0, 2])
def test_going_on_gives_what_would_have_come(workers):
    whole = [facts(batch) for batch in batches([listed(11)], 9, views=2, workers=workers)]
    for start in (1, 4, 8):
        rest = batches([listed(11)], 9 - start, views=2, start=start, workers=workers)
        assert [facts(batch) for batch in rest] == whole[start:]


@pytest.mark.parametrize("bad", [set(), {3}, {3, 4, 5}])
def test_two_processes_see_what_one_sees(bad):
    samples = [
        Sample(f"k{i}", broken_inside() if i in bad else picture(i), (f"a {i}", f"b {i}")) for i in range(400)
    ]
    source = [Listed([samples[:200], samples[200:]])]
    one = batches(source, 110, batch_size=4, views=2)
    for rank in range(2):
        half = batches(source, 110, batch_size=2, views=2, stream={"rank": rank, "world_size": 2})
        own = slice(2 * rank, 2 * rank + 2)
        for mine, whole in zip(half, one, strict=True):
            assert facts(mine) == tuple(part[own] for part in facts(whole))


def test_worker_processes_change_nothing():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    samples = [Sample(f"k{i}", broken_inside() if i == 5 else picture(i), ("x", "y")) for i in range(120)]
    alone, helped = (batches([Listed([samples])], 40, views=2, workers=workers) for workers in (0, 2))
    assert [facts(batch) for batch in alone] == [facts(batch) for batch in helped]
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_decoded_is_replaced_by_the_next_and_named(caplog):
    samples = [Sample(f"k{i}", broken_inside() if i == 7 else picture(i), ("x",)) for i in range(200)]
    source = [Listed([samples])]
    order = [draw.sample.key for draw in itertools.islice(PairStream(source).draws(), 200)]
    got = [key for batch in batches(source, 50) for key in batch.keys]
    place = order.index("listed/k7")
    assert got == [*order[:place], order[place + 1], *order[place + 1 :]]
    assert "skipped listed/k7: " in caplog.text


def test_too_many_that_cannot_be_decoded_stop_the_run():
    samples = [Sample(f"k{i}", broken_inside() if i % 4 == 0 else picture(i), ("x",)) for i in range(400)]
    with pytest.raises(DataError, match=r"decoding: .* samples are broken, more than 1%"):
        batches([Listed([samples])], 90)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_that_decodes_is_an_error(workers):
    samples = [Sample(f"k{i}", broken_inside(), ("x",)) for i in range(400)]
    with pytest.raises(DataError, match=r"^9 images in a row cannot be decoded"):
        batches([Listed([samples])], 2, workers=workers)


def test_taken_pairs_are_the_same_each_time_and_spread_over_shards():
    pairs = list(iter_pairs([listed(60, 10)], 20, seed=4))
    again = iter_pairs([listed(60, 10)], 20, seed=4)
    assert [(image.tobytes(), text) for image, text in pairs] == [
        (image.tobytes(), text) for image, text in again
    ]
    numbers = [int(text.split()[1]) for _, text in pairs]
    assert len(set(numbers)) == 20
    assert len({n // 10 for n in numbers}) > 3
    for image, text in pairs:
        assert image.tobytes() == decode(picture(int(text.split()[1]))).tobytes()
    assert len(list(iter_pairs([listed(5)], 20))) == 5


@pytest.fixture
def decoded(monkeypatch):
    """The images that were decoded so far."""
    images = []

    def watched(image_bytes):
        images.append(decode(image_bytes))
        return images[-1]

    for module in (decoder, loader):
        monkeypatch.setattr(module, "decode", watched)
    return images


@pytest.mark.parametrize("draw", [iter_pairs, iter_images])
def test_images_are_decoded_when_they_are_asked_for(decoded, draw):
    drawn = draw([listed(20)], 5)
    for count, _ in enumerate(drawn, 1):
        assert len(decoded) == count
    assert len(decoded) == 5


@pytest.mark.parametrize("draw", [iter_pairs, iter_images])
def test_when_none_can_be_decoded_they_are_named(draw):
    source = Listed([[Sample(f"k{i}", broken_inside(), ("x",)) for i in range(9)]])
    with pytest.raises(DataError, match=r"None of the 9 images can be decoded: mend .*\n  .*listed/k\d: "):
        list(draw([source], 5))


def test_a_batch_is_decoded_as_it_is_prepared(decoded):
    seen = []

    def one_by_one(images):
        seen.extend(len(decoded) for _ in images)
        return {}

    slices = [next(PairStream([listed(20)]).slices(4)) for _ in range(2)]
    Decoder(one_by_one, 1, 0.6, 0)[slices]
    assert seen == list(range(1, 9))


def extras(images, texts, **stream):
    shared = {"seed": 2} | stream
    return Extras(
        images=PairStream([listed(9)], paired=False, **shared),
        num_images=images,
        texts=TextStream([lambda rng: f"text {rng.randrange(10**6)}"], **shared),
        num_texts=texts,
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_images_and_texts_without_a_partner_come_behind_the_pairs(workers):
    plain = batches([listed(11)], 5, views=2)
    more = batches([listed(11)], 5, views=2, extras=extras(3, 2), workers=workers)
    for few, many in zip(plain, more, strict=True):
        assert many.num_pairs == len(few.keys) == 4
        assert (many.keys[:4], many.views[:4], many.captions[:4]) == (few.keys, few.views, few.captions)
        assert torch.equal(many.images["pixel_values"][:4], few.images["pixel_values"])
        assert all(key.startswith("images/listed/k") for key in many.keys[4:])
        assert [len(many.keys), len(many.captions)] == [7, 6]
        assert len(many.images["pixel_values"]) == 7
        assert many.texts["input_ids"][:, 0].tolist() == [len(text) for text in many.captions]


def test_extras_go_on_and_are_shared_out_as_pairs_are():
    whole = batches([listed(11)], 6, extras=extras(4, 2))
    rest = batches([listed(11)], 4, extras=extras(4, 2), start=2)
    assert [facts(batch) for batch in rest] == [facts(batch) for batch in whole[2:]]
    halves = [
        batches(
            [listed(11)],
            6,
            batch_size=2,
            stream={"rank": rank, "world_size": 2},
            extras=extras(2, 1, rank=rank, world_size=2),
        )
        for rank in (0, 1)
    ]
    for one, first, second in zip(whole, *halves, strict=True):
        assert one.keys == first.keys[:2] + second.keys[:2] + first.keys[2:] + second.keys[2:]
        assert one.captions[4:] == first.captions[2:] + second.captions[2:]
