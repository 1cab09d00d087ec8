"""Codes as bytes against a codec that works digit by digit with Python's integers, in every base."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tclip.ternary.codec import BASES, check_codes, decode_codes, num_bytes, pack_codes, unpack_codes
from tests.ternary.strategies import codes

LARGEST = {3: 1, 16: 7, 256: 127}
EXISTING = {3: range(243), 16: [16 * a + b for a in range(1, 16) for b in range(1, 16)], 256: range(1, 256)}
every_base = pytest.mark.parametrize("base", BASES)
a_base = st.sampled_from(sorted(BASES))


def pack_slowly(numbers, base):
    per_byte = BASES[base]
    numbers = numbers + [0] * (-len(numbers) % per_byte)
    packed = []
    for start in range(0, len(numbers), per_byte):
        byte = 0
        for number in numbers[start : start + per_byte]:
            byte = byte * base + number + base // 2
        packed.append(byte)
    return packed


@given(a_base, st.data())
def test_bytes_are_those_of_numerals(base, data):
    some = data.draw(codes(largest=LARGEST[base]))
    packed = pack_codes(some, base)
    assert packed.dtype == torch.uint8
    assert packed.tolist() == pack_slowly(some.flatten().tolist(), base)
    assert len(packed) == num_bytes(some.numel(), base) == math.ceil(some.numel() / BASES[base])


@given(a_base, st.data())
def test_every_shape_comes_back(base, data):
    some = data.draw(codes(largest=LARGEST[base]))
    back = unpack_codes(pack_codes(some, base), some.shape, base)
    assert back.dtype == torch.int8
    assert back.shape == some.shape
    assert torch.equal(back, some)


def test_the_first_code_is_the_most_significant_digit():
    assert pack_codes(torch.tensor([1, -1, -1, -1, -1], dtype=torch.int8)).tolist() == [2 * 81]
    assert pack_codes(torch.tensor([-1, 0, -1, -1, -1], dtype=torch.int8)).tolist() == [27]
    assert pack_codes(torch.tensor([[-1, -1], [-1, -1], [1, 1]], dtype=torch.int8)).tolist() == [2, 202]
    assert pack_codes(torch.tensor([-1], dtype=torch.int8)).tolist() == [27 + 9 + 3 + 1]  # padded with 0
    assert pack_codes(torch.tensor([-7, 7, 3], dtype=torch.int8), 16).tolist() == [0x1F, 0xB8]
    assert pack_codes(torch.tensor([-127, 0, 127], dtype=torch.int8), 256).tolist() == [1, 128, 255]


@every_base
def test_a_view_is_packed_in_the_order_of_its_rows(base):
    some = torch.tensor([[1, 0, -1], [0, 1, 1]], dtype=torch.int8)
    assert torch.equal(pack_codes(some.T, base), pack_codes(some.T.contiguous(), base))
    assert not torch.equal(pack_codes(some.T, base), pack_codes(some, base))


@every_base
def test_every_byte_that_exists_unpacks_to_its_numeral(base):
    every = torch.tensor(EXISTING[base], dtype=torch.uint8)
    unpacked = unpack_codes(every, (len(every), BASES[base]), base)
    assert len(set(map(tuple, unpacked.tolist()))) == len(every) == (2 * LARGEST[base] + 1) ** BASES[base]
    assert pack_slowly(unpacked.flatten().tolist(), base) == list(EXISTING[base])


@pytest.mark.parametrize(("base", "wrong"), [(3, 2), (3, -2), (3, -128), (16, 8), (16, -8), (256, -128)])
def test_other_codes_are_refused(base, wrong):
    with pytest.raises(ValueError, match=f"from -{LARGEST[base]} to {LARGEST[base]}"):
        pack_codes(torch.tensor([0, 1, wrong], dtype=torch.int8), base)


@given(a_base, st.integers(0, 3), st.data())
def test_bytes_that_do_not_exist_are_refused(base, place, data):
    packed = pack_codes(torch.zeros(4 * BASES[base], dtype=torch.int8), base)
    packed[place] = wrong = data.draw(st.sampled_from(sorted(set(range(256)) - set(EXISTING[base]))))
    with pytest.raises(ValueError, match=f"the byte {wrong} does not exist in base {base}"):
        unpack_codes(packed, (4 * BASES[base],), base)


@given(a_base, codes(), st.sampled_from([-1, 1, 2]))
def test_a_wrong_number_of_bytes_is_refused(base, some, more):
    packed = pack_codes(some, base)
    wrong = max(0, len(packed) + more)
    if wrong == len(packed):
        wrong += 1
    with pytest.raises(ValueError, match=f"{wrong} bytes cannot hold {some.numel()} codes"):
        check_codes(torch.full((wrong,), 121, dtype=torch.uint8), some.shape, base)


@given(st.sampled_from([3, 16]), st.data())
def test_padding_other_than_zero_is_refused(base, data):
    num_codes = data.draw(st.integers(1, BASES[base] - 1))
    numbers = [0] * BASES[base]
    numbers[data.draw(st.integers(num_codes, BASES[base] - 1))] = data.draw(st.sampled_from([-1, 1]))
    with pytest.raises(ValueError, match="padding"):
        unpack_codes(torch.tensor(pack_slowly(numbers, base), dtype=torch.uint8), (num_codes,), base)


@given(a_base, st.sampled_from([torch.int8, torch.float16, torch.bfloat16, torch.float64]), st.data())
def test_codes_are_decoded_as_any_kind_of_number(base, dtype, data):
    some = data.draw(codes(largest=LARGEST[base]))
    count = data.draw(st.integers(0, some.numel()))
    found = decode_codes(pack_codes(some, base), count, dtype, base)
    assert found.dtype == dtype
    assert torch.equal(found, some.flatten()[:count].to(dtype))
