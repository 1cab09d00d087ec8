"""Base-3 bytes against a codec that works digit by digit with Python's integers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tclip.ternary.codec import decode_base3, num_bytes, pack_base3, unpack_base3
from tests.ternary.strategies import codes


def pack_slowly(numbers):
    numbers = numbers + [0] * (-len(numbers) % 5)
    packed = []
    for start in range(0, len(numbers), 5):
        text = "".join(str(number + 1) for number in numbers[start : start + 5])
        packed.append(int(text, 3))
    return packed


@given(codes())
def test_bytes_are_those_of_base_3_numerals(some):
    packed = pack_base3(some)
    assert packed.dtype == torch.uint8
    assert packed.tolist() == pack_slowly(some.flatten().tolist())
    assert len(packed) == num_bytes(some.numel()) == math.ceil(some.numel() / 5)


@given(codes())
def test_every_shape_comes_back(some):
    back = unpack_base3(pack_base3(some), some.shape)
    assert back.dtype == torch.int8
    assert back.shape == some.shape
    assert torch.equal(back, some)


def test_the_first_code_is_the_most_significant_digit():
    assert pack_base3(torch.tensor([1, -1, -1, -1, -1], dtype=torch.int8)).tolist() == [2 * 81]
    assert pack_base3(torch.tensor([-1, 0, -1, -1, -1], dtype=torch.int8)).tolist() == [27]
    assert pack_base3(torch.tensor([[-1, -1], [-1, -1], [1, 1]], dtype=torch.int8)).tolist() == [2, 202]
    assert pack_base3(torch.tensor([-1], dtype=torch.int8)).tolist() == [27 + 9 + 3 + 1]  # padded with 0


def test_a_view_is_packed_in_the_order_of_its_rows():
    some = torch.tensor([[1, 0, -1], [0, 1, 1]], dtype=torch.int8)
    assert torch.equal(pack_base3(some.T), pack_base3(some.T.contiguous()))
    assert not torch.equal(pack_base3(some.T), pack_base3(some))


def test_each_of_the_243_bytes_unpacks_to_its_numeral():
    every = torch.arange(243, dtype=torch.uint8)
    unpacked = unpack_base3(every, (243, 5))
    assert len(set(map(tuple, unpacked.tolist()))) == 243
    assert pack_slowly(unpacked.flatten().tolist()) == list(range(243))


@pytest.mark.parametrize("wrong", [2, -2, 127, -127, -128])
def test_other_codes_are_refused(wrong):
    with pytest.raises(ValueError, match="-1, 0 or \\+1"):
        pack_base3(torch.tensor([0, 1, wrong], dtype=torch.int8))


@given(st.integers(243, 255), st.integers(0, 3))
def test_bytes_that_do_not_exist_are_refused(byte, place):
    packed = torch.full((4,), 121, dtype=torch.uint8)
    packed[place] = byte
    with pytest.raises(ValueError, match="242"):
        unpack_base3(packed, (20,))


@given(codes(), st.sampled_from([-1, 1, 2]))
def test_a_wrong_number_of_bytes_is_refused(some, more):
    packed = pack_base3(some)
    wrong = max(0, len(packed) + more)
    if wrong == len(packed):
        wrong += 1
    with pytest.raises(ValueError, match=f"{wrong} bytes cannot hold {some.numel()} codes"):
        unpack_base3(torch.full((wrong,), 121, dtype=torch.uint8), some.shape)


@given(st.integers(1, 4), st.data())
def test_padding_other_than_zero_is_refused(num_codes, data):
    digits = [1] * 5
    digits[data.draw(st.integers(num_codes, 4))] = data.draw(st.sampled_from([0, 2]))
    byte = int("".join(map(str, digits)), 3)
    with pytest.raises(ValueError, match="padding"):
        unpack_base3(torch.tensor([byte], dtype=torch.uint8), (num_codes,))


@given(codes(), st.sampled_from([torch.int8, torch.float16, torch.bfloat16, torch.float64]), st.data())
def test_codes_are_decoded_as_any_kind_of_number(some, dtype, data):
    count = data.draw(st.integers(0, some.numel()))
    found = decode_base3(pack_base3(some), count, dtype)
    assert found.dtype == dtype
    assert torch.equal(found, some.flatten()[:count].to(dtype))
