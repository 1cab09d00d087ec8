import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tclip.data.sample import Sample
from tclip.data.stream import SPARES, PairStream
from tclip.errors import DataError

from .making import Listed, listed, picture


def keys(draws, n):
    return [(draw.epoch, draw.sample.key) for draw in itertools.islice(draws, n)]


def with_broken(num, bad):
    samples = [Sample(f"k{i}", b"<html>" if i in bad else picture(i), ("x",)) for i in range(num)]
    return Listed([samples[i : i + 20] for i in range(0, num, 20)])


@settings(max_examples=25, deadline=None)
@given(num=st.integers(1, 30), per_shard=st.integers(1, 9), buffer=st.integers(1, 40), seed=st.integers(0, 5))
def test_an_epoch_has_every_sample_once(num, per_shard, buffer, seed):
    stream = PairStream([listed(num, per_shard)], seed=seed, shuffle_buffer=buffer)
    for epoch in range(2):
        assert sorted(s.key for s in stream.epoch(epoch)) == sorted(f"listed/k{i}" for i in range(num))


def test_seed_and_epoch_change_the_order_and_nothing_else_does():
    source = [listed(60)]
    first = keys(PairStream(source, seed=1, shuffle_buffer=10).draws(), 120)
    assert keys(PairStream(source, seed=1, shuffle_buffer=10).draws(), 120) == first
    assert keys(PairStream(source, seed=2, shuffle_buffer=10).draws(), 120) != first
    one, two = [key for epoch, key in first if epoch == 0], [key for epoch, key in first if epoch == 1]
    assert sorted(one) == sorted(two)
    assert one != two
    assert one != sorted(one)


def test_shards_are_mixed_even_with_a_small_buffer():
    order = [int(s.key.split("k")[1]) // 20 for s in PairStream([listed(80, 20)], shuffle_buffer=1).epoch(0)]
    assert len(set(order[:12])) > 1


@settings(max_examples=20, deadline=None)
@given(
    num=st.integers(1, 25),
    batch=st.integers(1, 4),
    world=st.integers(1, 4),
    start=st.integers(0, 40),
    buffer=st.integers(1, 9),
    others=st.lists(st.integers(1, 9), max_size=2),
)
def test_slices_of_all_ranks_are_the_global_sequence(num, batch, world, start, buffer, others):
    source = [listed(num), *(listed(more, 2, name="other") for more in others)]
    whole = batch * world
    expected = keys(PairStream(source, shuffle_buffer=buffer).draws(), (start + 3) * whole + SPARES)
    streams = [
        PairStream(source, shuffle_buffer=buffer, rank=rank, world_size=world).slices(batch, start)
        for rank in range(world)
    ]
    for number in range(start, start + 3):
        for rank in range(world):
            first = number * whole + rank * batch
            assert keys(next(streams[rank]), None) == expected[first : first + batch + SPARES]


def test_starting_late_reads_no_more_epochs_than_it_must():
    source = listed(10)
    read = Counter()

    class Counted(PairStream):
        def epoch(self, number):
            read[number] += 1
            return super().epoch(number)

    late = Counted([source], seed=3).draws(10 * 50 + 4)
    assert keys(late, 1) == keys(PairStream([source], seed=3).draws(), 505)[504:]
    assert dict(read) == {0: 1, 50: 1}


def test_sources_of_one_name_keep_their_keys_apart():
    stream = PairStream([listed(3), listed(3), listed(2, name="other")])
    found = {sample.key for sample in stream.epoch(0)}
    assert len(found) == 8
    assert {"listed/k0", "listed#2/k0", "other/k0"} <= found
    assert stream.fingerprint() != PairStream([listed(3)]).fingerprint()


def test_broken_samples_are_skipped_and_named_once(caplog):
    stream = PairStream([with_broken(300, {3, 250})])
    for epoch in range(2):
        assert len(list(stream.epoch(epoch))) == 298
    assert caplog.text.count("skipped listed/k3: ") == 1
    assert "epoch 0: skipped 2 of 300 samples" in caplog.text
    caplog.clear()
    list(PairStream([with_broken(300, {3})], rank=1, world_size=2).epoch(0))
    assert caplog.text == ""


def test_skipping_is_the_same_whatever_the_start():
    source = [with_broken(200, {1, 77})]
    whole = keys(PairStream(source).draws(), 500)
    assert keys(PairStream(source).draws(450), 50) == whole[450:]


def test_too_many_broken_stop_the_run():
    with pytest.raises(DataError, match="more than 1%"):
        keys(PairStream([with_broken(300, set(range(0, 300, 10)))]).draws(), 300)
    with pytest.raises(DataError, match="1 of 50"):
        keys(PairStream([with_broken(50, {0})]).draws(), 60)


@pytest.mark.timeout(20)
def test_data_without_a_good_sample_are_an_error_not_a_wait():
    with pytest.raises(DataError, match="No samples in listed"):
        next(PairStream([Listed([[], []])]).draws())
    with pytest.raises(DataError, match="3 of 3"):
        next(PairStream([with_broken(3, {0, 1, 2})]).draws())
    with pytest.raises(DataError, match="No data are given"):
        PairStream([])


def test_memory_is_bounded_by_the_buffer():
    alive = Counter()

    class Heavy(Sample):
        def __post_init__(self):
            alive["now"] += 1
            alive["most"] = max(alive["most"], alive["now"])

        def __del__(self):
            alive["now"] -= 1

    class Endless(Listed):
        def shards(self):
            return [self]

        def __iter__(self):
            for number in range(500):
                yield Heavy(f"k{number}", picture(0), ("x",))

    assert sum(1 for _ in PairStream([Endless([])], shuffle_buffer=16).epoch(0)) == 500
    assert alive["most"] <= 16 + 4
