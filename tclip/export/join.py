"""Two encoders in one graph, with the logits of every image and text."""

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper


def join(image: ModelProto, text: ModelProto, logit_scale: float, logit_bias: float | None) -> ModelProto:
    """Join two encoders to one graph that also answers with logits_per_image [image_batch, text_batch].

    Args:
        image: the graph whose output is image_embeds.
        text: the graph whose output is text_embeds.
        logit_scale: what cosines are multiplied by (the exponential is taken already).
        logit_bias: what is added then, if anything.
    """
    joint, other = ModelProto(), ModelProto()
    joint.CopyFrom(image)
    other.CopyFrom(text)
    _keep_apart(joint.graph, other.graph)
    for part in ("node", "initializer", "input", "output"):
        getattr(joint.graph, part).extend(getattr(other.graph, part))
    _add_logits(joint.graph, logit_scale, logit_bias)
    return joint


def _keep_apart(graph: GraphProto, other: GraphProto) -> None:
    """Rename values and constants of the other graph whose names the first has too."""
    names = {name: f"text/{name}" for name in _names(graph) & _names(other)}
    for tensor in other.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in other.node:
        node.name = f"text/{node.name}"
        node.input[:] = [names.get(value, value) for value in node.input]
        node.output[:] = [names.get(value, value) for value in node.output]


def _names(graph: GraphProto) -> set[str]:
    constants = {tensor.name for tensor in graph.initializer}
    return constants | {name for node in graph.node for name in node.output}


def _add_logits(graph: GraphProto, logit_scale: float, logit_bias: float | None) -> None:
    def constant(name: str, value: float) -> str:
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    batches = [output.type.tensor_type.shape.dim[0].dim_param for output in graph.output]
    steps = [
        ("Transpose", ["text_embeds"]),
        ("MatMul", ["image_embeds", "logits/Transpose"]),
        ("Mul", ["logits/MatMul", constant("logit_scale.exp", logit_scale)]),
    ]
    if logit_bias is not None:
        steps.append(("Add", ["logits/Mul", constant("logit_bias", logit_bias)]))
    for operator, inputs in steps:
        graph.node.append(helper.make_node(operator, inputs, [f"logits/{operator}"], f"logits/{operator}"))
    graph.node[-1].output[0] = "logits_per_image"
    graph.output.append(helper.make_tensor_value_info("logits_per_image", TensorProto.FLOAT, batches))
