"""How several sources become one sequence."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tclip.data.mixture import OPEN_SHARDS, Mixture
from tclip.data.sample import Sample

from .making import Listed


class Known:
    """A shard that tells about how many samples it holds, rightly or wrongly."""

    def __init__(self, name, num, told, watch):
        self.name, self._num, self._told, self._watch = name, num, told, watch

    def __length_hint__(self):
        return self._told

    def __iter__(self):
        self._watch["now"] += 1
        self._watch["most"] = max(self._watch["most"], self._watch["now"])
        for number in range(self._num):
            yield Sample(f"{self.name}/{number}", b"", ())
        self._watch["now"] -= 1


class Source(Listed):
    """Shards of these sizes; `told`: by how much too many or too few they tell, as a factor."""

    def __init__(self, *nums, told=1.0, watch=None):
        super().__init__([])
        watch = Counter() if watch is None else watch
        self._shards = [Known(str(i), num, round(told * num), watch) for i, num in enumerate(nums)]


def order(*sources, epoch=0, seed=0):
    return [number for number, _ in Mixture(sources).epoch(epoch, seed)]


def farthest(drawn, until=1.0):
    """How far a source is ahead of the others at the worst point, as a share of all that it has."""
    totals, seen, worst = Counter(drawn), Counter(), 0.0
    for place, number in enumerate(drawn[: round(until * len(drawn))], 1):
        seen[number] += 1
        worst = max(worst, *(abs(seen[each] / totals[each] - place / len(drawn)) for each in totals))
    return worst


sizes = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=12), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(sizes=sizes, told=st.sampled_from([0.1, 1.0, 10.0]), seed=st.integers(0, 3))
def test_every_sample_comes_once_and_few_shards_are_open(sizes, told, seed):
    watch = Counter()
    sources = [
        Source(*nums, told=told if place % 2 else 1.0, watch=watch) for place, nums in enumerate(sizes)
    ]
    drawn = [(number, sample.key) for number, sample in Mixture(sources).epoch(0, seed)]
    assert sorted(drawn) == sorted(
        (number, f"{shard}/{each}")
        for number, nums in enumerate(sizes)
        for shard, num in enumerate(nums)
        for each in range(num)
    )
    assert watch["now"] == 0
    assert watch["most"] <= max(OPEN_SHARDS, len(sizes))


@pytest.mark.parametrize("seed", range(4))
def test_each_has_its_share_at_every_point(seed):
    many, few, one = [250] * 40, [256] * 24, [2000]
    drawn = order(Source(*many), Source(*few), Source(*one), seed=seed)
    assert Counter(drawn) == {0: 10000, 1: 24 * 256, 2: 2000}
    assert farthest(drawn) < 0.04


def test_where_nothing_is_known_the_shards_tell():
    lists = [Listed([[Sample("k", b"", ())] * 200] * num) for num in (2, 6)]
    assert farthest(order(*lists)) < 0.08


@pytest.mark.parametrize("told", [0.2, 5.0])
def test_a_wrong_number_is_corrected_by_the_shards_that_have_ended(told):
    drawn = order(Source(*[50] * 100, told=told), Source(*[50] * 100))
    assert farthest(drawn[3000:]) < 0.05


def test_seed_and_epoch_change_the_order_and_nothing_else_does():
    mixture = Mixture([Source(30, 30), Source(40)])
    first = [(number, sample.key) for number, sample in mixture.epoch(1, 2)]
    assert [(number, sample.key) for number, sample in mixture.epoch(1, 2)] == first
    for epoch, seed in ((0, 2), (1, 3)):
        assert [(number, sample.key) for number, sample in mixture.epoch(epoch, seed)] != first


def test_of_one_source_nothing_needs_to_be_known():
    class Unwilling(Known):
        def __length_hint__(self):
            raise AssertionError("asked")

    source = Listed([])
    source._shards = [Unwilling("0", 3, 3, Counter())]
    assert order(source) == [0, 0, 0]
    with pytest.raises(AssertionError, match="asked"):
        order(source, source)
