"""Marks made by hand, spelled out and run, against dense weights in torch."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tclip.export.layers import Convolution, Embedding, Linear
from tclip.export.session import open_session
from tclip.export.spell import spell_out
from tclip.export.trace import IR_VERSION, OPSET
from tclip.ternary.quantizers import ternarize
from tclip.ternary.tensor import TernaryTensor

GRANULARITIES = ("tensor", "row", "group:6")


def marked(operator: str, weight: Any, inputs: dict[str, int]) -> ModelProto:
    """Make a graph of one mark; `inputs` are names with their ONNX types."""
    codes, attributes = f"w.base{weight.base}", {"shape": list(weight.shape), "base": weight.base}
    node = helper.make_node(operator, [*inputs, codes, "w.scale"], ["y"], domain="tclip", **attributes)
    graph = helper.make_graph(
        [node],
        "test",
        [helper.make_tensor_value_info(name, kind, None) for name, kind in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(weight.bytes.numpy(), codes),
            numpy_helper.from_array(weight.scale.numpy(), "w.scale"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def answer(model: ModelProto, **inputs: torch.Tensor) -> torch.Tensor:
    session = open_session(model.SerializeToString(), threads=1)
    return torch.from_numpy(session.run(["y"], {name: x.numpy() for name, x in inputs.items()})[0])


def random_ternary(*shape: int, granularity: str = "row") -> TernaryTensor:
    return ternarize(torch.randn(shape, generator=torch.Generator().manual_seed(1)), "mse", granularity)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(("tensor", "row", "group:1")))
@settings(max_examples=25, deadline=None)
def test_float_product_is_exact_for_every_shape(rows: int, length: int, granularity: str) -> None:
    weight = random_ternary(rows, length, granularity=granularity)
    x = torch.randn(2, 3, length)
    model = spell_out(marked("Linear", Linear(weight, None).weight, {"x": TensorProto.FLOAT}), "float")
    assert torch.allclose(answer(model, x=x), x @ weight.dense().T, atol=1e-5)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_integer_product_rounds_only_the_input(granularity: str) -> None:
    weight = random_ternary(20, 48, granularity=granularity)
    x = torch.randn(2, 3, 48)
    model = spell_out(marked("Linear", Linear(weight, None).weight, {"x": TensorProto.FLOAT}), "int8")
    step = (x.max() - x.min()) / 255
    # Each input is off by half a step at most, so an output by half a step times its row's magnitudes.
    bound = step / 2 * weight.dense().abs().sum(1) * 1.01
    error = (answer(model, x=x) - x @ weight.dense().T).abs()
    assert (error <= bound).all()
    operators = Counter(node.op_type for node in model.graph.node)
    assert operators["MatMulInteger"] == (0 if granularity.startswith("group") else 1)
    assert (float(error.max()) == 0) or operators["MatMulInteger"] or float(error.max()) < 1e-5


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("activations", ["int8", "float"])
def test_embedding_is_exact_and_never_a_dense_table(
    granularity: str, activations: str, tmp_path: Any
) -> None:
    weight = random_ternary(50, 12, granularity=granularity)
    ids = torch.randint(0, 50, (2, 7))
    model = spell_out(marked("Embedding", Embedding(weight).weight, {"ids": TensorProto.INT64}), activations)
    assert torch.equal(answer(model, ids=ids), weight.dense()[ids])
    folded = optimised(model, tmp_path)
    dense = [t.name for t in folded.graph.initializer if t.data_type == 1 and np.prod(t.dims) == 600]
    assert not dense


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_weight_of_a_convolution_is_exact(granularity: str) -> None:
    weight = random_ternary(4, 3, 2, 4, granularity=granularity)
    conv = Convolution(torch.nn.Conv2d(3, 4, (2, 4), padding=1), weight)
    model = spell_out(marked("Weight", conv.weight, {}), "int8")
    assert torch.equal(answer(model), weight.dense())


def test_products_are_fused_to_integer_kernels(tmp_path: Any) -> None:
    weight = random_ternary(16, 32)
    model = spell_out(marked("Linear", Linear(weight, None).weight, {"x": TensorProto.FLOAT}), "int8")
    operators = Counter(node.op_type for node in optimised(model, tmp_path).graph.node)
    assert operators == {"DynamicQuantizeMatMul": 1}


def test_damaged_byte_ends_the_start_of_a_session() -> None:
    weight = Linear(random_ternary(8, 10), None).weight
    weight.bytes[3] = 255
    model = spell_out(marked("Linear", weight, {"x": TensorProto.FLOAT}), "int8")
    with pytest.raises(Exception, match="out of data bounds"):
        answer(model, x=torch.randn(1, 10))


def test_floats_are_halved_only_where_that_is_exact() -> None:
    exact = random_ternary(100, 10).rounded(torch.float16)
    odd = TernaryTensor(exact.codes, exact.scale_RG + 1e-5)
    for weight, kind in ((exact, TensorProto.FLOAT16), (odd, TensorProto.FLOAT)):
        model = spell_out(marked("Embedding", Embedding(weight).weight, {"ids": TensorProto.INT64}), "float")
        scales = [t.data_type for t in model.graph.initializer if "scale" in t.name]
        assert scales == [kind]
        ids = torch.arange(100)[None]
        assert torch.equal(answer(model, ids=ids), weight.dense()[ids])


def test_the_traced_graph_is_left_alone() -> None:
    graph = marked("Linear", Linear(random_ternary(80, 8), None).weight, {"x": TensorProto.FLOAT})
    before = graph.SerializeToString(deterministic=True)
    spell_out(graph, "int8")
    assert graph.SerializeToString(deterministic=True) == before


def optimised(model: ModelProto, folder: Any) -> ModelProto:
    """Return the graph that ONNX Runtime makes of a model when a session starts."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3  # it warns that such a file suits this machine only
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "optimised.onnx")
