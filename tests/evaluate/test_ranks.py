import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tclip.evaluate import ranks as ranks_module
from tclip.evaluate.ranks import best_ranks, rank_of, ranks

# Few different values, so that ties abound.
SCORES = st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=1, max_size=6)


def slow_order(scores):
    """Candidates from best to worst; equal ones by position."""
    return sorted(range(len(scores)), key=lambda candidate: (-scores[candidate], candidate))


@given(SCORES, st.data())
def test_rank_is_the_place_in_the_sorted_list(rows, data):
    answers = [data.draw(st.integers(0, 3)) for _ in rows]
    found = rank_of(torch.tensor(rows, dtype=torch.float32), torch.tensor(answers))
    assert found.tolist() == [
        slow_order(row).index(answer) for row, answer in zip(rows, answers, strict=True)
    ]


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 99), st.integers(1, 3))
def test_best_rank_is_that_of_the_best_own_candidate(num, extra, seed, chunk):
    generator = torch.Generator().manual_seed(seed)
    query = torch.randint(0, 2, (num, 2), generator=generator).float()
    owner = torch.cat([torch.arange(num), torch.randint(0, num, (extra,), generator=generator)])
    candidate = torch.randint(0, 2, (len(owner), 2), generator=generator).float()
    expected = []
    for index in range(num):
        order = slow_order((candidate @ query[index]).tolist())
        expected.append(min(order.index(own) for own in range(len(owner)) if owner[own] == index))
    whole, ranks_module.CHUNK = ranks_module.CHUNK, chunk
    try:
        assert best_ranks(query, candidate, owner).tolist() == expected
        answers = owner[:num]
        assert torch.equal(ranks(query, candidate, answers), rank_of(query @ candidate.T, answers))
    finally:
        ranks_module.CHUNK = whole


def test_equal_embeddings_are_at_chance():
    constant = torch.ones(10, 3)
    assert ranks(constant, constant, torch.arange(10)).tolist() == list(range(10))
    owner = torch.arange(10).repeat_interleave(5)
    assert (best_ranks(constant, torch.ones(50, 3), owner) < 1).sum() == 1


@pytest.mark.parametrize("size", [1, 40])
def test_copies_of_a_candidate_rank_one_behind_the_other(size):
    """In a plain product, of one query above all, they differ by the last bits."""
    generator = torch.Generator().manual_seed(0)
    place = torch.randint(0, 5, (101,), generator=generator)
    candidate = torch.randn(5, 33, generator=generator)[place]
    copies = (place == place[-1]).nonzero()[:, 0]
    for query in torch.randn(40, 33, generator=generator).split(size):
        found = torch.stack([ranks(query, candidate, copy.expand(size)) for copy in copies])
        assert torch.equal(found, found[:1] + torch.arange(len(copies))[:, None])
