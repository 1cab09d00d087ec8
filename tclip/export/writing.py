"""Adding nodes and constants to a graph."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import GraphProto, TensorProto, helper, numpy_helper

# Below this many numbers a Cast node takes about the room that halving them saves.
WORTH_HALVING = 64


class GraphWriter:
    """Appends to a graph.

    Attributes:
        graph: what is written to.
        shapes: of its constants, by name.
        kept: names of constants that stay as they are.
    """

    def __init__(self, graph: GraphProto) -> None:
        self.graph = graph
        self.shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        self.kept: set[str] = set()

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: int) -> str:
        """Append a node with one output; return the output's name."""
        self.graph.node.append(
            helper.make_node(operator, inputs, [output], f"{output}/{operator}", **attributes)
        )
        return output

    def integers(self, *values: int) -> str:
        """Return the name of a constant of int64, one for equal values."""
        return self.constant(f"integers.{'_'.join(map(str, values))}", np.array(values, np.int64))

    def constant(self, name: str, value: Any) -> str:
        """Add a numpy array as a constant, unless one of this name is there; return the name."""
        if name not in self.shapes:
            self.shapes[name] = np.shape(value)
            self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def halve_floats(self) -> None:
        """Keep float32 constants as float16 and a Cast, wherever that loses nothing; not those in `kept`."""
        for tensor in self.graph.initializer:
            small = math.prod(tensor.dims) < WORTH_HALVING
            if small or tensor.data_type != TensorProto.FLOAT or tensor.name in self.kept:
                continue
            name, values = tensor.name, numpy_helper.to_array(tensor)
            with np.errstate(over="ignore"):
                halves = values.astype(np.float16)
            if np.array_equal(halves.astype(np.float32), values):
                tensor.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
                self.node("Cast", [tensor.name], name, to=TensorProto.FLOAT)
