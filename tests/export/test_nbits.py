"""Two-bit blocks, read back by hand and run by ONNX Runtime, against dense weights and rounding in numpy."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tclip.errors import ModelError
from tclip.export import onnx as writer
from tclip.export.layers import Linear
from tclip.export.nbits import Blocks, block_size, refuse_groups, two_bit_blocks
from tclip.export.onnx import IMAGE_FILE, TEXT_FILE, export_onnx
from tclip.export.session import open_session
from tclip.export.spell import spell_out
from tclip.recipe.schema import Onnx
from tclip.ternary.tensor import TernaryTensor
from tests.export.conftest import Exported
from tests.export.test_spell import marked, random_ternary
from tests.ternarizing import ternarized


def read_back(blocks: Blocks, num_inputs: int) -> np.ndarray:
    """The weight [O, I], one code after the other as the operator's specification says."""
    outputs, num_blocks, _ = blocks.packed.shape
    weight_OI = np.zeros((outputs, num_inputs), np.float32)
    for row in range(outputs):
        for column in range(num_inputs):
            block, place = divmod(column, blocks.size)
            byte = int(blocks.packed[row, block, place // 4])
            digit = byte >> 2 * (place % 4) & 3
            weight_OI[row, column] = blocks.scale_OB[row, block] * (digit - 2)
    assert blocks.scale_OB.shape == (outputs, num_blocks)
    return weight_OI


@given(st.integers(1, 5), st.integers(1, 150), st.sampled_from(("tensor", "row")))
@settings(max_examples=25, deadline=None)
def test_blocks_hold_the_weight_exactly(rows: int, length: int, granularity: str) -> None:
    weight = random_ternary(rows, length, granularity=granularity)
    blocks = two_bit_blocks(weight.codes.numpy(), weight.scale_RG.numpy())
    assert np.array_equal(read_back(blocks, length), weight.dense().numpy())


@pytest.mark.parametrize(("group", "size"), [(16, 16), (48, 16), (32, 32), (96, 32), (64, 64), (128, 128)])
def test_groups_are_repeated_for_their_blocks(group: int, size: int) -> None:
    weight = random_ternary(3, 4 * group, granularity=f"group:{group}")
    blocks = two_bit_blocks(weight.codes.numpy(), weight.scale_RG.numpy())
    assert blocks.size == size
    assert np.array_equal(read_back(blocks, 4 * group), weight.dense().numpy())


def test_a_row_is_cut_so_that_nothing_is_padded_if_it_can_be() -> None:
    assert [block_size(inputs, 1) for inputs in (768, 192, 96, 588, 1)] == [128, 64, 32, 32, 32]
    assert [block_size(inputs, 4) for inputs in (2048, 1024, 256, 64, 48, 4)] == [
        128,
        128,
        64,
        16,
        None,
        None,
    ]


def test_scales_that_change_within_blocks_are_refused_all_at_once() -> None:
    with pytest.raises(ModelError) as caught:
        refuse_groups({"a.weight": (48, 4), "b.weight": (64, 4), "c.weight": (40, 2)})
    message = str(caught.value)
    assert "a.weight: groups of 12 inputs\n  c.weight: groups of 20 inputs" in message
    assert "b.weight" not in message
    with pytest.raises(ValueError, match="groups of 12 inputs"):
        two_bit_blocks(np.zeros((1, 48), np.int8), np.ones((1, 4), np.float32))


def test_refused_before_anything_is_traced(
    tiny_clip: Callable[[str], Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "trace_towers", lambda clip: pytest.fail("traced"))
    with pytest.raises(ModelError, match=r"visual_projection\.weight: groups of 8 inputs") as caught:
        export_onnx(tiny_clip("group:8"), tmp_path / "onnx", Onnx(format="nbits"))
    assert "text_model.encoder.layers.*.mlp.fc1.weight: groups of 8" in str(caught.value)
    assert "token_embedding" not in str(caught.value)
    assert not (tmp_path / "onnx").exists()


@pytest.fixture
def tiny_clip(tiny_folder: Callable[[str], Any]) -> Callable[[str], Any]:
    from tclip.models.load import load_dense

    return lambda scale: ternarized(load_dense(str(tiny_folder("clip"))), scale)


def product(weight: TernaryTensor, bias_O: np.ndarray | None, activations: str) -> onnx.ModelProto:
    model = marked("Linear", Linear(weight, None).weight, {"x": TensorProto.FLOAT})
    if bias_O is not None:
        model.graph.initializer.append(numpy_helper.from_array(bias_O, "b"))
        model.graph.node[0].input.append("b")
    return spell_out(model, activations, "nbits")


def rounded(x_BI: np.ndarray, size: int) -> np.ndarray:
    """Inputs rounded to 8 bits, one scale for each block of them, as the operator's kernels do."""
    padding = -x_BI.shape[1] % size
    blocks = np.pad(x_BI, ((0, 0), (0, padding))).reshape(len(x_BI), -1, size)
    scale = np.maximum(np.abs(blocks).max(-1, keepdims=True) / 127, 1e-30)
    return (np.round(blocks / scale) * scale).reshape(len(x_BI), -1)[:, : x_BI.shape[1]]


@pytest.mark.parametrize("optimised", [True, False])
@pytest.mark.parametrize(
    ("length", "granularity"), [(768, "row"), (192, "tensor"), (588, "row"), (256, "group:64")]
)
@pytest.mark.parametrize("rows_in", [1, 7])
def test_the_product_is_exact_or_rounds_inputs_alone(
    length: int, granularity: str, rows_in: int, optimised: bool
) -> None:
    weight = random_ternary(24, length, granularity=granularity)
    bias_O = np.linspace(-1, 1, 24, dtype=np.float32)
    x_BI = np.random.default_rng(0).normal(size=(rows_in, length)).astype(np.float32)
    size = block_size(length, weight.scale_RG.shape[1])
    assert size is not None
    exact, rounding = (x @ weight.dense().numpy().T + bias_O for x in (x_BI, rounded(x_BI, size)))
    options = onnxruntime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for activations, expected in (("float", [exact]), ("int8", [rounding, exact])):
        file = product(weight, bias_O, activations).SerializeToString()
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"x": x_BI})
        # without a kernel for two bits ONNX Runtime multiplies the weight out, whatever was asked for
        assert any(np.allclose(found, each, atol=1e-4 * np.abs(exact).max()) for each in expected)


def test_a_product_is_one_operator_with_its_bias() -> None:
    model = product(random_ternary(24, 64), np.zeros(24, np.float32), "int8")
    (node,) = model.graph.node
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    assert attributes == {"K": 64, "N": 24, "bits": 2, "block_size": 64, "accuracy_level": 4}
    assert list(node.input) == ["x", "w.blocks", "w.scale", "", "", "b"]


def test_a_file_is_two_bits_a_weight_and_embeddings_stay_ternary(exported: Callable[[str], Exported]) -> None:
    clip, folder = exported("clip").clip, exported("clip").folders["nbits"]
    for name, tower in ((IMAGE_FILE, "vi"), (TEXT_FILE, "te")):
        graph = onnx.load(folder / name).graph
        sizes = {tensor.name: len(tensor.raw_data) for tensor in graph.initializer}
        ternary = {key: each.codes.numel() for key, each in clip.ternary.items() if key.startswith(tower)}
        table = ternary.pop("text_model.embeddings.token_embedding.weight", 0)
        assert sum(size for key, size in sizes.items() if key.endswith(".blocks")) * 4 == sum(
            ternary.values()
        )
        assert sum(size for key, size in sizes.items() if key.endswith(".base3")) == -(-table // 5)
        counts = Counter(node.op_type for node in graph.node)
        assert counts["MatMulNBits"] == len(ternary)
        assert not counts["MatMulInteger"]


def test_shared_weights_are_laid_out_once() -> None:
    model = marked("Linear", Linear(random_ternary(24, 64), None).weight, {"x": TensorProto.FLOAT})
    again = model.graph.node.add()
    again.CopyFrom(model.graph.node[0])
    again.output[0] = "z"
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    file = spell_out(model, "float", "nbits").SerializeToString()
    y, z = open_session(file, 1).run(None, {"x": np.ones((1, 64), np.float32)})
    assert np.array_equal(y, z)
