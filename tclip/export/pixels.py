"""The image encoder on bytes: what the preprocessor does behind resizing and cropping, as part of the graph.

B batch, C channels, H height, W width.
"""

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tclip.errors import ModelError
from tclip.models.clip import Clip

PIXELS, PIXEL_VALUES = "pixels", "pixel_values"


def refuse_patches(clip: Clip) -> None:
    """Refuse a family whose preprocessor cuts patches itself.

    Raises:
        ModelError: naming the family.
    """
    if clip.family.patches_images:
        raise ModelError(
            f"{clip.source.id} is a {clip.family.title}, whose image encoder takes patches of any grid, not "
            "whole pictures: export it with pixels float."
        )


def take_bytes(encoder: ModelProto, image_processor: Any) -> ModelProto:
    """Return a copy of an image encoder that takes pixels, uint8 [B, H, W, C], and normalises them itself.

    Args:
        encoder: takes pixel_values, float32 [B, C, H, W].
        image_processor: of transformers; its rescaling and normalising become part of the graph.
    """
    model = ModelProto()
    model.CopyFrom(encoder)
    graph = model.graph
    (taken,) = [value for value in graph.input if value.name == PIXEL_VALUES]
    axes = taken.type.tensor_type.shape.dim
    batch, channels, height, width = (axis.dim_param or axis.dim_value for axis in axes)
    shape = [batch, height, width, channels]
    taken.CopyFrom(helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, shape))
    steps: list[tuple[str, np.ndarray | None, dict[str, Any]]] = [
        ("Transpose", None, {"perm": [0, 3, 1, 2]}),
        ("Cast", None, {"to": TensorProto.FLOAT}),
        *((operator, value, {}) for operator, value in _arithmetic(image_processor)),
    ]
    nodes, value = list(graph.node), PIXELS
    del graph.node[:]
    for operator, constant, attributes in steps:
        inputs, name = [value], f"{PIXELS}/{operator}"
        if constant is not None:
            inputs.append(f"{name}.constant")
            graph.initializer.append(numpy_helper.from_array(constant, inputs[-1]))
        graph.node.append(helper.make_node(operator, inputs, [name], name, **attributes))
        value = name
    graph.node[-1].output[0] = PIXEL_VALUES
    graph.node.extend(nodes)
    return model


def _arithmetic(image_processor: Any) -> list[tuple[str, np.ndarray]]:
    """In the order, and with the float32 numbers, of `Clip.preprocess`."""
    steps = []
    if image_processor.do_rescale:
        steps.append(("Mul", np.array(image_processor.rescale_factor, np.float32)))
    if image_processor.do_normalize:
        mean_C11, std_C11 = (
            np.array(numbers, np.float32)[:, None, None]
            for numbers in (image_processor.image_mean, image_processor.image_std)
        )
        steps += [("Sub", mean_C11), ("Div", std_C11)]
    return steps
