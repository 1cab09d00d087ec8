"""From a model to a graph: one encoder traced by torch.onnx.export, ternary products still marked.

Opset 20, of ONNX 1.15 (2023): the first with Gelu as one operator, which ONNX Runtime (1.17 and later,
also in browsers) runs with one kernel; the exporter's spelling of it in older opsets it does not fuse.

B batch, E embedding.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from onnx import GraphProto, ModelProto
from PIL import Image
from torch import Tensor, nn

from tclip.errors import ModelError, first_line
from tclip.export.layers import MARKS
from tclip.export.prepare import traceable_copy
from tclip.models.clip import Clip, Inputs

OPSET, IR_VERSION = 20, 9
Axes = dict[int, Any]


class Tower(nn.Module):
    """One encoder: its inputs in order -> L2-normalised embeddings [B, E].

    Args:
        model: the dual encoder.
        method: the name of the model's method that gives the features.
        names: the names of the method's inputs.
    """

    def __init__(self, model: Any, method: str, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.method = method
        self.names = tuple(names)

    def forward(self, *inputs: Tensor) -> Float[Tensor, "B E"]:
        """Return the embeddings."""
        features = getattr(self.model, self.method)(**dict(zip(self.names, inputs, strict=True)))
        return nn.functional.normalize(features.pooler_output, dim=-1)


def trace_towers(clip: Clip) -> tuple[ModelProto, ModelProto]:
    """Trace the image and the text encoder of a clip.

    Returns:
        the two graphs, with free axes image_batch, and text_batch and tokens. Ternary products are
        marks (layers.py), layer outputs and parameters bear the model's names for them.

    Raises:
        ModelError: the model fixes the number of images or texts.
    """
    model = traceable_copy(clip)
    image = _trace(model, "get_image_features", *_image_example(clip), output="image_embeds")
    text = _trace(model, "get_text_features", *_text_example(clip), output="text_embeds")
    return image, text


def _image_example(clip: Clip) -> tuple[Inputs, Axes]:
    """Return two blank images as the tower takes them, and which of their axes are free."""
    inputs = clip.preprocess([Image.new("RGB", (64, 48)), Image.new("RGB", (48, 64))])
    return inputs, {0: torch.export.Dim("image_batch")}


def _text_example(clip: Clip) -> tuple[Inputs, Axes]:
    """Return two texts as the tower takes them, and which of their axes are free."""
    axes: Axes = {0: torch.export.Dim("text_batch")}
    if not clip.family.pads_to_maximum:
        axes[1] = torch.export.Dim("tokens", max=clip.max_tokens)
    return clip.tokenize(["a photo of a cat", "two dogs"]), axes


def _trace(model: Any, method: str, inputs: Inputs, axes: Axes, output: str) -> ModelProto:
    try:
        with torch.no_grad(), _quiet_exporter():
            program = torch.onnx.export(
                Tower(model, method, list(inputs)).eval(),
                tuple(inputs.values()),
                dynamic_shapes=(tuple(dict(axes) for _ in inputs),),
                input_names=list(inputs),
                output_names=[output],
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = first_line(error.__cause__ or error)
        raise ModelError(f"torch.onnx.export cannot follow {method} of this model: {reason}.") from error
    assert program is not None
    traced = program.model_proto
    _check_axes(traced.graph, axes, method)
    _drop_traces(traced)
    _rename(traced.graph, _layer_outputs(traced.graph) | _parameters(traced.graph))
    return traced


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep from the user what the exporter says about itself."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")  # "torchvision is not installed"
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)", FutureWarning)
            # several inputs share the axis, as they should
            warnings.filterwarnings("ignore", r"# The axis name: \w+ will not be used", UserWarning)
            yield
    finally:
        log.setLevel(level)


def _check_axes(graph: GraphProto, axes: Axes, method: str) -> None:
    """Refuse a graph whose exporter quietly fixed an axis that must be free."""
    for value in graph.input:
        for axis, free in axes.items():
            if not value.type.tensor_type.shape.dim[axis].dim_param:
                raise ModelError(
                    f"{method} of this model fixes the axis {free.__name__} of {value.name}, "
                    "which an exported file must leave free: export a model of another architecture."
                )


def _drop_traces(traced: ModelProto) -> None:
    """Remove what the exporter noted for debugging: Python stack traces with local paths, inferred shapes."""
    graph = traced.graph
    del graph.value_info[:]
    for part in (traced, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    standard = [opset for opset in traced.opset_import if opset.domain == ""]
    del traced.opset_import[:]
    traced.opset_import.extend(standard)
    traced.producer_name, traced.ir_version = "tclip", IR_VERSION


def _layer_outputs(graph: GraphProto) -> dict[str, str]:
    """Take out the nodes tclip::Name; return old -> new names of the values that they stood behind."""
    marks = [node for node in graph.node if (node.domain, node.op_type) == (MARKS, "Name")]
    behind = {node.output[0]: node.input[0] for node in marks}
    names: dict[str, str] = {}
    for node in marks:
        value = node.input[0]
        while value in behind:  # a layer that returns what an inner one returned
            value = behind[value]
        names[value] = names[node.output[0]] = node.attribute[0].s.decode()
    for node in marks:
        graph.node.remove(node)
    return names


def _parameters(graph: GraphProto) -> dict[str, str]:
    return {tensor.name: tensor.name.removeprefix("model.") for tensor in graph.initializer}


def _rename(graph: GraphProto, names: dict[str, str]) -> None:
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [names.get(value, value) for value in node.input]
        node.output[:] = [names.get(value, value) for value in node.output]
