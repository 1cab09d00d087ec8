"""Which precision is chosen, and that attention keeps float32 where bfloat16 would be slow."""

from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional

from tclip.distill.precision import Float32Attention, computing_in, precision_of

CPU = torch.device("cpu")


def heads(seed):
    return torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(seed), requires_grad=True)


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_what_is_asked_for_is_taken(asked):
    assert precision_of(asked, CPU) == asked


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_are_computed_in_it(precision):
    with computing_in(precision, torch.device("cpu")):
        found = heads(0) @ heads(1).mT
    assert found.dtype == getattr(torch, precision)


@pytest.mark.parametrize("avx512", [True, False])
@pytest.mark.parametrize("amx", [True, False])
def test_a_cpu_computes_in_bfloat16_where_it_has_instructions_for_it(monkeypatch, avx512, amx):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # a card that is not trained on
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert precision_of("auto", CPU) == ("bfloat16" if avx512 or amx else "float32")


@pytest.mark.parametrize("index", [0, 1])
def test_a_card_computes_in_bfloat16_where_it_need_not_emulate_it(monkeypatch, index):
    """Card 0 does, card 1 emulates it."""
    current = []
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext(current.append(device.index)))
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: including_emulation or not current[-1],
    )
    assert precision_of("auto", torch.device("cuda", index)) == ("float32" if index else "bfloat16")


def test_other_devices_compute_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert precision_of("auto", torch.device("mps")) == "float32"


def test_under_autocast_attention_is_float32s_to_the_bit():
    queries, keys, values = map(heads, range(3))
    plain = functional.scaled_dot_product_attention(queries, keys, value=values, is_causal=True)
    with torch.autocast("cpu", torch.bfloat16), Float32Attention():
        found = functional.scaled_dot_product_attention(queries, keys, value=values, is_causal=True)
        product = queries @ keys.mT
    assert torch.equal(found, plain)
    assert product.dtype == torch.bfloat16
    slopes = [torch.autograd.grad(each.square().sum(), queries)[0] for each in (plain, found)]
    assert torch.equal(*slopes)


def test_inputs_in_bfloat16_and_masks_are_taken_too():
    queries, keys, values = (heads(seed).bfloat16() for seed in range(3))
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    with torch.autocast("cpu", torch.bfloat16), Float32Attention():
        found = functional.scaled_dot_product_attention(query=queries, key=keys, value=values, attn_mask=mask)
    expected = functional.scaled_dot_product_attention(
        queries.float(), keys.float(), values.float(), attn_mask=mask
    )
    assert torch.equal(found, expected)


def test_without_autocast_nothing_changes():
    queries = heads(0).bfloat16()
    with Float32Attention():
        found = functional.scaled_dot_product_attention(queries, queries, queries)
    assert found.dtype == torch.bfloat16
