"""Blocks of ggml, beside the reader and the quantizer of the package gguf."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tclip.export.gguf_blocks import misfit, to_blocks
from tclip.ternary.tensor import TernaryTensor

gguf = pytest.importorskip("gguf", reason="needs the extra: pip install 'tclip[gguf]'")

BYTES = {"tq2_0": 66, "tq1_0": 54}
# every kind of float16: subnormal, the least normal, ordinary, the largest; and 0
SCALES = st.one_of(
    st.floats(0, 65504, width=16), st.sampled_from([0.0, 2.0**-24, 3 * 2.0**-24, 2.0**-14, 65504.0])
)


@st.composite
def weights(draw: st.DrawFn, smallest: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes of whole blocks, and a scale for the tensor, for each row or for each group of blocks."""
    rows, blocks = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    groups = draw(st.sampled_from([n for n in range(1, blocks + 1) if blocks % n == 0]))
    shape = draw(st.sampled_from([(1, 1), (rows, groups)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    codes = torch.randint(-1, 2, (rows, 256 * blocks), generator=generator, dtype=torch.int8)
    values = draw(st.lists(SCALES, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    return codes, torch.tensor(values).clamp(min=smallest).reshape(shape)


def read(blocks: np.ndarray, kind: str) -> Any:
    return gguf.dequantize(blocks, gguf.GGMLQuantizationType[kind.upper()])


@pytest.mark.parametrize("kind", BYTES)
@given(parts=weights())
@settings(deadline=None)
def test_blocks_are_read_as_scale_times_code_exactly(
    kind: str, parts: tuple[torch.Tensor, torch.Tensor]
) -> None:
    weight = TernaryTensor(*parts)
    assert misfit(weight) == ""
    blocks = to_blocks(weight, kind)
    rows, columns = weight.codes.shape
    assert (blocks.dtype, blocks.shape) == (np.uint8, (rows, columns // 256 * BYTES[kind]))
    assert np.array_equal(read(blocks, kind), weight.dense().numpy())
    assert np.array_equal(read(blocks, kind).astype(np.float16), weight.dense().half().numpy())


@pytest.mark.parametrize("kind", BYTES)
@given(parts=weights(smallest=2.0**-14))
@settings(deadline=None)
def test_bytes_are_those_of_gguf_where_it_finds_the_same_scale(
    kind: str, parts: tuple[torch.Tensor, torch.Tensor]
) -> None:
    weight = TernaryTensor(*parts)
    quantized = gguf.quantize(weight.dense().numpy(), gguf.GGMLQuantizationType[kind.upper()])
    assert np.array_equal(to_blocks(weight, kind), quantized)


@pytest.mark.parametrize("kind", BYTES)
def test_a_block_of_zeros_keeps_its_scale(kind: str) -> None:
    weight = TernaryTensor(torch.zeros(1, 512, dtype=torch.int8), torch.tensor([[0.5]]))
    blocks = to_blocks(weight, kind).reshape(2, -1)
    assert blocks[:, -2:].copy().view(np.float16).tolist() == [[0.5], [0.5]]
    assert not read(blocks, kind).any()


@pytest.mark.parametrize("kind", BYTES)
def test_a_float32_scale_is_rounded_to_float16_once(kind: str) -> None:
    weight = TernaryTensor(torch.ones(1, 256, dtype=torch.int8), torch.tensor([[1 / 3]]))
    assert np.unique(read(to_blocks(weight, kind), kind)) == np.float16(1 / 3)


@pytest.mark.parametrize(
    ("columns", "scale_RG", "fault"),
    [
        (256, [[1.0]], ""),
        (512, [[1.0, 2.0], [3.0, 4.0]], ""),
        (192, [[1.0], [1.0]], "rows of 192 weights"),
        (512, [[1.0] * 8] * 2, "a scale for every 64 weights"),
        (768, [[1.0, 2.0]] * 2, "a scale for every 384 weights"),
        (256, [[1e5], [1.0]], "a scale that float16 cannot hold"),
        (256, [[1e-9], [1.0]], "a scale that float16 cannot hold"),
    ],
)
def test_what_does_not_fit_is_told(columns: int, scale_RG: list[list[float]], fault: str) -> None:
    weight = TernaryTensor(torch.ones(2, columns, dtype=torch.int8), torch.tensor(scale_RG))
    assert misfit(weight) == fault
