"""From marks to standard operators: how a graph reads and multiplies ternary weights.

A weight of n codes is kept as ceil(n / 5) bytes and read as

    base3 uint8 [P] -> Cast int32 -> Gather in the table of all bytes' codes, int8 [243, 5]
                    -> Reshape -> Slice (the last byte may be padded) -> Reshape to its shape

whose inputs are all constant, so ONNX Runtime computes it once, when a session starts. The table (1.2 kB)
takes a third of the time and memory that the same takes by Div, Mod and Sub, and a damaged byte beyond
it ends the session's start instead of making a weight.

With int8 activations x is rounded to 8 bits, one scale for the whole tensor, by DynamicQuantizeLinear and
multiplied as integers by MatMulInteger; the scales of the weight's rows join the scale of x behind the
product, which is the form that ONNX Runtime fuses to one kernel (DynamicQuantizeMatMul, or
MatMulIntegerToFloat where several weights share one x). A scale that changes within a row cannot leave the
sum, so a weight with groups is multiplied in float in either form of file.

An embedding is gathered from the int8 codes and its scales from theirs: there is no dense table, not even
once a session has started.

R rows with scales, G groups of a row, I inputs, O outputs, V vocabulary, D width.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tclip.export.layers import MARKS
from tclip.ternary.codec import LARGEST_BYTE, POWERS

# Below this many numbers a Cast node takes about the room that halving them saves.
WORTH_HALVING = 64
_TABLE = (np.arange(LARGEST_BYTE + 1)[:, None] // np.array(POWERS) % 3 - 1).astype(np.int8)


def spell_out(marked: ModelProto, activations: str) -> ModelProto:
    """Return a copy of a traced graph in which every mark is written in standard operators.

    Args:
        marked: of trace.py.
        activations: "int8" or "float".
    """
    model = ModelProto()
    model.CopyFrom(marked)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    speller = _Speller(model, activations)
    spellings: dict[str, Callable[[NodeProto], None]] = {
        "Linear": speller.linear,
        "Embedding": speller.embedding,
        "Weight": speller.weight,
    }
    speller.halve_floats()
    for node in nodes:
        if node.domain == MARKS:
            spellings[node.op_type](node)
        else:
            model.graph.node.append(node)
    return model


class _Speller:
    """Appends nodes and constants to a graph. Values are named after the weight they come from."""

    def __init__(self, model: ModelProto, activations: str) -> None:
        self.graph = model.graph
        self.activations = activations
        self.shapes = {tensor.name: tuple(tensor.dims) for tensor in self.graph.initializer}

    def linear(self, mark: NodeProto) -> None:
        """x @ (scale codes)."""
        x, base3, scale = mark.input
        groups = self.shapes[scale][0] if len(self.shapes[scale]) > 1 else 1
        if self.activations == "float" or groups > 1:
            dense = self._dense(base3, scale, _shape(mark), groups)
            self._node("MatMul", [x, dense], mark.output[0])
            return
        parts = rounded, x_scale, zero = [f"{mark.output[0]}/{part}" for part in ("x", "x_scale", "x_zero")]
        name = f"{rounded}/DynamicQuantizeLinear"
        self.graph.node.append(helper.make_node("DynamicQuantizeLinear", [x], parts, name))
        codes = self._codes(base3, _shape(mark))
        sums = self._node("MatMulInteger", [rounded, codes, zero], f"{mark.output[0]}/sums")
        sums = self._node("Cast", [sums], f"{mark.output[0]}/float", to=TensorProto.FLOAT)
        both = self._node("Mul", [x_scale, scale], f"{mark.output[0]}/scale")
        self._node("Mul", [sums, both], mark.output[0])

    def embedding(self, mark: NodeProto) -> None:
        """Rows of scale x codes."""
        ids, base3, scale = mark.input
        result = mark.output[0]
        rows, groups = self.shapes[scale]
        codes = self._node("Gather", [self._codes(base3, _shape(mark)), ids], f"{result}/codes")
        codes = self._node("Cast", [codes], f"{result}/float", to=TensorProto.FLOAT)
        if rows > 1:
            scale = self._node("Gather", [scale, ids], f"{result}/scale")
        if groups == 1:
            self._node("Mul", [codes, scale], result)
            return
        # A 0 in the shape of a Reshape keeps the axis: batch and tokens.
        split = self._node("Reshape", [codes, self._integers(0, 0, groups, -1)], f"{result}/split")
        scale = self._node("Unsqueeze", [scale, self._integers(-1)], f"{result}/group_scale")
        scaled = self._node("Mul", [split, scale], f"{result}/scaled")
        self._node("Reshape", [scaled, self._integers(0, 0, -1)], result)

    def weight(self, mark: NodeProto) -> None:
        """The dense scale x codes."""
        base3, scale = mark.input
        rows, groups, _ = self.shapes[scale]
        codes = self._codes(base3, (rows, groups, math.prod(_shape(mark)) // (rows * groups)))
        dense = self._node("Cast", [codes], f"{base3}/float", to=TensorProto.FLOAT)
        dense = self._node("Mul", [dense, scale], f"{base3}/scaled")
        self._node("Reshape", [dense, self._integers(*_shape(mark))], mark.output[0])

    def halve_floats(self) -> None:
        """Keep float32 constants as float16 and a Cast, wherever that loses nothing."""
        for tensor in self.graph.initializer:
            if tensor.data_type != TensorProto.FLOAT or math.prod(tensor.dims) < WORTH_HALVING:
                continue
            name, values = tensor.name, numpy_helper.to_array(tensor)
            with np.errstate(over="ignore"):
                halves = values.astype(np.float16)
            if np.array_equal(halves.astype(np.float32), values):
                tensor.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
                self._node("Cast", [tensor.name], name, to=TensorProto.FLOAT)

    def _dense(self, base3: str, scale: str, shape: Sequence[int], groups: int) -> str:
        """Scale x codes [I, O] for scales [R], or [G, 1, R]."""
        split = shape if groups == 1 else (groups, shape[0] // groups, shape[1])
        dense = self._node("Cast", [self._codes(base3, split)], f"{base3}/float", to=TensorProto.FLOAT)
        dense = self._node("Mul", [dense, scale], f"{base3}/scaled")
        if groups == 1:
            return dense
        return self._node("Reshape", [dense, self._integers(*shape)], f"{base3}/dense")

    def _codes(self, base3: str, shape: Sequence[int]) -> str:
        """Int8 codes of a weight."""
        table = self._constant("base3.table", _TABLE)
        value = self._node("Cast", [base3], f"{base3}/bytes", to=TensorProto.INT32)
        value = self._node("Gather", [table, value], f"{base3}/digits")
        value = self._node("Reshape", [value, self._integers(-1)], f"{base3}/flat")
        ends = [self._integers(0), self._integers(math.prod(shape))]
        value = self._node("Slice", [value, *ends], f"{base3}/own")
        return self._node("Reshape", [value, self._integers(*shape)], f"{base3}/codes")

    def _node(self, operator: str, inputs: Sequence[str], output: str, **attributes: int) -> str:
        self.graph.node.append(
            helper.make_node(operator, inputs, [output], f"{output}/{operator}", **attributes)
        )
        return output

    def _integers(self, *values: int) -> str:
        return self._constant(f"integers.{'_'.join(map(str, values))}", np.array(values, np.int64))

    def _constant(self, name: str, value: np.ndarray) -> str:
        if name not in self.shapes:
            self.shapes[name] = value.shape
            self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name


def _shape(mark: NodeProto) -> tuple[int, ...]:
    return tuple(mark.attribute[0].ints)
