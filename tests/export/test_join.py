import math

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tclip.export.join import join
from tclip.export.session import open_session
from tclip.export.trace import IR_VERSION, OPSET


def scaling(source: str, target: str, batch: str, factor: float) -> ModelProto:
    """target = factor source, with names for the steps that both towers use."""
    nodes = [
        helper.make_node("Mul", [source, "factor"], ["step"], "multiply"),
        helper.make_node("Identity", ["step"], [target], "result"),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor_value_info(target, TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(np.array(factor, np.float32), "factor")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


@pytest.mark.parametrize("bias", [None, -2.5])
def test_joint_graph_keeps_equal_names_apart_and_adds_logits(bias: float | None) -> None:
    image = scaling("pixel_values", "image_embeds", "image_batch", 2.0)
    text = scaling("input_ids", "text_embeds", "text_batch", 3.0)
    before = text.SerializeToString(deterministic=True)
    joint = join(image, text, math.e, bias)
    onnx.checker.check_model(joint, full_check=True)
    assert text.SerializeToString(deterministic=True) == before
    rng = np.random.default_rng(0)
    pixels, ids = rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    session = open_session(joint.SerializeToString(), threads=1)
    image_BE, text_LE, logits_BL = session.run(None, {"pixel_values": pixels, "input_ids": ids})
    assert np.allclose(image_BE, 2 * pixels)
    assert np.allclose(text_LE, 3 * ids)
    assert np.allclose(logits_BL, math.e * image_BE @ text_LE.T + (bias or 0), atol=1e-4)
    assert session.get_outputs()[2].shape == ["image_batch", "text_batch"]
