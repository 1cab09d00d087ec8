"""Packed layers answer as the torch layers in whose place they stand, with scale x code as weight."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tclip.packed.format import CODES, SCALE
from tclip.plugin.layers import PackedLayer, make_dense, make_packed, packed_class
from tclip.ternary.codec import pack_codes
from tclip.ternary.integers import to_integers
from tclip.ternary.quantizers import ternarize
from tclip.ternary.tensor import CodedTensor

SCALES = ["row", "tensor", "group"]
some_bits = st.sampled_from([None, 4, 8])


def packed_and_dense(
    layer: Any, scale: str, parameter: str = "weight", bits: int | None = None
) -> tuple[Any, Any, CodedTensor]:
    """A layer in packed form (of so many bits, or ternary), in dense form with the same weight, and that."""
    weight = getattr(layer, parameter)
    row_length = weight[0].numel()
    size = next(n for n in (4, 3, 2, 1) if row_length % n == 0)
    granularity = f"group:{size}" if scale == "group" else scale
    coded = to_integers(weight, bits, granularity) if bits else ternarize(weight, "mse", granularity)
    tensor = coded.rounded(torch.float16)
    with torch.no_grad():
        weight.copy_(tensor.dense())
    packed = copy.deepcopy(layer)
    kind = packed_class(packed, parameter)
    assert kind is not None
    make_packed(packed, kind, tensor.scale_RG.shape, torch.float16, tensor.base)
    codes_P = pack_codes(tensor.codes, tensor.base)
    packed.load_state_dict(
        {parameter + CODES: codes_P, parameter + SCALE: tensor.scale_RG.half()}, strict=False
    )
    return packed, layer, tensor


@settings(max_examples=25, deadline=None)
@given(
    outputs=st.integers(1, 9),
    inputs=st.integers(1, 13),
    scale=st.sampled_from(SCALES),
    bias=st.booleans(),
    bits=some_bits,
)
def test_linear(outputs: int, inputs: int, scale: str, bias: bool, bits: int | None) -> None:
    packed, dense, tensor = packed_and_dense(nn.Linear(inputs, outputs, bias), scale, bits=bits)
    x = torch.randn(2, 3, inputs)
    assert torch.equal(packed(x), dense(x))
    assert torch.equal(packed.weight, tensor.dense())
    assert isinstance(packed, nn.Linear)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 12),
    width=st.integers(1, 14),
    scale=st.sampled_from(SCALES),
    bits=some_bits,
    data=st.data(),
)
def test_embedding_unpacks_the_rows_that_are_asked_for(
    rows: int, width: int, scale: str, bits: int | None, data: st.DataObject
) -> None:
    packed, dense, _ = packed_and_dense(nn.Embedding(rows, width), scale, bits=bits)
    asked = torch.tensor(data.draw(st.lists(st.integers(0, rows - 1), max_size=5)), dtype=torch.long)
    assert torch.equal(packed(asked), dense(asked))
    everything = torch.arange(rows).view(1, rows)
    assert torch.equal(packed(everything), dense(everything))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("number", [-1, 7])
def test_a_number_that_is_no_row_is_refused_as_by_torch(scale: str, number: int) -> None:
    packed, dense, _ = packed_and_dense(nn.Embedding(7, 4), scale)
    for layer in (packed, dense):
        with pytest.raises(IndexError):
            layer(torch.tensor([0, number]))


@pytest.mark.parametrize("scale", SCALES)
def test_convolution(scale: str) -> None:
    packed, dense, _ = packed_and_dense(nn.Conv2d(3, 5, 4, stride=4, bias=False), scale)
    pixels = torch.randn(2, 3, 8, 12)
    assert torch.equal(packed(pixels), dense(pixels))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("is_self_attention", [True, False])
def test_attention(scale: str, is_self_attention: bool) -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    packed, dense, _ = packed_and_dense(layer, scale, "in_proj_weight")
    key, query = torch.randn(2, 5, 8), torch.randn(2, 1, 8)
    query = key if is_self_attention else query
    with torch.no_grad():
        torch.testing.assert_close(packed(query, key, key)[0], dense(query, key, key)[0])


def test_casting_moves_the_weight_but_rounds_no_scale() -> None:
    packed, _, tensor = packed_and_dense(nn.Linear(7, 3), "row")
    packed.to(torch.bfloat16)
    assert packed.bias.dtype == packed.weight.dtype == torch.bfloat16
    assert torch.equal(packed.weight, tensor.dense().bfloat16())
    assert packed.scale_RG.dtype == torch.float16
    packed.to(torch.float64).to(torch.float16).to(torch.float32)
    assert torch.equal(packed.scale_RG.float(), tensor.scale_RG)
    assert torch.equal(packed.weight, tensor.dense())


def test_moving_to_meta_and_back_works() -> None:
    packed, _, tensor = packed_and_dense(nn.Linear(7, 3), "row")
    codes, scale_RG = packed.codes_P, packed.scale_RG
    packed.to("meta", torch.bfloat16)
    assert packed.codes_P.is_meta
    assert packed.weight.is_meta
    packed.to_empty(device="cpu").load_state_dict(
        {"weight_codes": codes, "weight_scale": scale_RG, "bias": torch.zeros(3)}
    )
    assert torch.equal(packed.weight, tensor.dense().bfloat16())


def test_nothing_dense_is_kept() -> None:
    packed, _, _ = packed_and_dense(nn.Linear(50, 20), "row")
    packed(torch.randn(1, 50))
    held = [*packed.parameters(), *packed.buffers()]
    assert {name for name, _ in packed.named_parameters()} == {"bias"}
    assert sum(x.nbytes for x in held) == 200 + 20 * 2 + 20 * 4
    assert not [name for name, value in vars(packed).items() if isinstance(value, Tensor)]


def test_a_deep_copy_is_independent() -> None:
    packed, dense, _ = packed_and_dense(nn.Embedding(6, 4), "row")
    twin = copy.deepcopy(packed)
    packed.codes_P.zero_()
    asked = torch.arange(6)
    assert torch.equal(twin(asked), dense(asked))


@pytest.mark.parametrize(
    ("layer", "parameter"),
    [
        (nn.Linear(7, 3), "weight"),
        (nn.Embedding(7, 3, padding_idx=0), "weight"),
        (nn.Conv2d(3, 4, 2), "weight"),
        (nn.MultiheadAttention(8, 2), "in_proj_weight"),
    ],
)
def test_a_layer_becomes_dense_again(layer: nn.Module, parameter: str) -> None:
    packed, dense, _ = packed_and_dense(layer, "row", parameter)
    assert isinstance(packed, PackedLayer)
    make_dense(packed, torch.float32)
    assert type(packed) is type(dense)
    assert packed.state_dict().keys() == dense.state_dict().keys()
    assert torch.equal(getattr(packed, parameter), getattr(dense, parameter))
    assert not vars(packed).keys() - vars(dense).keys()


class _OwnForward(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + 1


@pytest.mark.parametrize(
    ("layer", "parameter"),
    [
        (nn.LayerNorm(4), "weight"),
        (nn.Linear(2, 2), "bias"),
        (_OwnForward(2, 2), "weight"),
        (nn.Embedding(2, 2, max_norm=1.0), "weight"),
        (nn.MultiheadAttention(4, 2, kdim=3), "q_proj_weight"),
    ],
)
def test_what_cannot_be_packed_is_told(layer: nn.Module, parameter: str) -> None:
    assert packed_class(layer, parameter) is None
