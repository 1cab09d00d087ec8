"""The rank of the right answer among all candidates, with ties broken by position.

Candidates that are equal tie to the last bit: each is multiplied once, since where a row lies in a matrix may
change the last bits of a product.

Q queries, N candidates, U different candidates, E embedding.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

CHUNK = 1024  # queries at a time: the similarities of 1024 x 100,000 take 400 MB


def rank_of(score_QN: Float[Tensor, "Q N"], answer_Q: Int[Tensor, "Q"]) -> Int[Tensor, "Q"]:
    """Return how many candidates come before each answer: higher scores, and equal ones of lower index.

    An equal score is no win: a model that embeds everything alike ends at chance, not at 100 %.
    """
    answer_score_Q1 = score_QN.gather(1, answer_Q[:, None])
    before_QN = torch.arange(score_QN.shape[1]) < answer_Q[:, None]
    return ((score_QN > answer_score_Q1) | ((score_QN == answer_score_Q1) & before_QN)).sum(dim=1)


def ranks(
    query_QE: Float[Tensor, "Q E"], candidate_NE: Float[Tensor, "N E"], answer_Q: Int[Tensor, "Q"]
) -> Int[Tensor, "Q"]:
    """Return the rank, 0 the best, of each query's one right answer by dot product."""
    chunks = zip(_scores(query_QE, candidate_NE), answer_Q.split(CHUNK), strict=True)
    return torch.cat([rank_of(score_QN, chunk_Q) for score_QN, chunk_Q in chunks])


def best_ranks(
    query_QE: Float[Tensor, "Q E"], candidate_NE: Float[Tensor, "N E"], owner_N: Int[Tensor, "N"]
) -> Int[Tensor, "Q"]:
    """Return the rank, 0 the best, of each query's best right answer: the candidates that it owns.

    Every query must own at least one candidate.
    """
    found = []
    chunks = torch.arange(len(query_QE)).split(CHUNK)
    for score_QN, chunk_Q in zip(_scores(query_QE, candidate_NE), chunks, strict=True):
        own_QN = owner_N == chunk_Q[:, None]
        # Of equally good answers argmax takes the first, as the ranking does.
        best_Q = score_QN.masked_fill(~own_QN, -torch.inf).argmax(dim=1)
        found.append(rank_of(score_QN, best_Q))
    return torch.cat(found)


def _scores(
    query_QE: Float[Tensor, "Q E"], candidate_NE: Float[Tensor, "N E"]
) -> Iterator[Float[Tensor, "q N"]]:
    """Yield the dot products of CHUNK queries at a time."""
    distinct_UE, place_N = candidate_NE.unique(dim=0, return_inverse=True)
    for chunk_QE in query_QE.split(CHUNK):
        yield (chunk_QE @ distinct_UE.T)[:, place_N]
