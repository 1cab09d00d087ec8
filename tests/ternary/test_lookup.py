"""An embedding that quantizes what it looks up, against one that quantizes its whole table."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tclip.ternary.latent import attach, detach, latent_weights
from tclip.ternary.lookup import TernaryEmbedding
from tclip.ternary.straight_through import StraightThrough
from tests.ternary.strategies import GRANULARITIES, QUANTIZER_NAMES

ROWS, WIDTH = 5, 6


def trained(granularity="row", quantizer="learned", **options):
    """An embedding with latent weights."""
    torch.manual_seed(0)
    module = nn.Embedding(ROWS, WIDTH, **options)
    attach(module, {"weight": None}, quantizer, granularity)
    return module


def whole(module, ids):
    """What an embedding answers from its whole quantized table."""
    return nn.functional.embedding(ids, module.weight)


@given(
    ids=st.lists(st.lists(st.integers(0, ROWS - 1), min_size=3, max_size=3), max_size=4),
    granularity=st.sampled_from(GRANULARITIES),
    quantizer=st.sampled_from(QUANTIZER_NAMES),
    strength=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_answers_and_gradients_are_those_of_the_whole_table(ids, granularity, quantizer, strength):
    module, ids = trained(granularity, quantizer), torch.tensor(ids, dtype=torch.long)
    ((_, latent, _),) = latent_weights(module)
    latent.strength = strength
    seen = []
    for answer in (module(ids), whole(module, ids)):
        answer.mul(torch.arange(answer.numel()).reshape(answer.shape)).sum().backward()
        seen.append((answer.detach(), *(x.grad for x in module.parameters())))
        module.zero_grad(set_to_none=True)
    assert len(seen[0]) == (3 if quantizer == "learned" else 2)
    for found, expected in zip(*seen, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("compiling", [False, True])
@pytest.mark.parametrize("granularity", ["row", "group:3"])
def test_only_rows_that_are_looked_up_are_quantized_if_not_compiled(granularity, compiling, monkeypatch):
    module, rows, forward = trained(granularity), [], StraightThrough.forward

    def count(ctx, weight, *given):
        rows.append(len(weight))
        return forward(ctx, weight, *given)

    monkeypatch.setattr(StraightThrough, "forward", staticmethod(count))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    module(torch.tensor([[4, 1, 4], [1, 1, 4]]))
    assert rows == [ROWS if compiling else 2]


@pytest.mark.parametrize(
    "options",
    [{"padding_idx": 1}, {"max_norm": 0.5}, {"scale_grad_by_freq": True}, {"sparse": True}],
    ids=lambda options: next(iter(options)),
)
def test_options_that_go_by_the_whole_table_keep_it(options):
    assert not isinstance(trained(**options), TernaryEmbedding)


def test_what_subclasses_make_of_their_ids_stays_theirs():
    class Shifted(nn.Embedding):
        def forward(self, ids):
            return super().forward(ids) + 1

    module = Shifted(ROWS, WIDTH)
    attach(module, {"weight": None}, "learned", "row")
    ids = torch.tensor([0, 3])
    assert torch.equal(module(ids), whole(module, ids) + 1)


def test_after_training_it_is_an_embedding_again():
    module = trained()
    assert isinstance(module, TernaryEmbedding)
    tensors = detach(module)
    assert type(module) is nn.Embedding
    ids = torch.tensor([2, 2, 0])
    assert torch.equal(module(ids), tensors["weight"].dense()[ids])
