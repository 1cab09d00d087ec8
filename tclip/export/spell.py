"""From marks to operators: how a graph reads and multiplies weights that are codes and scales.

In the format base3 all operators are standard. A weight of n codes is kept as ceil(n / 5) bytes and read as

    base3 uint8 [P] -> Cast int32 -> Gather in the table of all bytes' codes, int8 [243, 5]
                    -> Reshape -> Slice (the last byte may be padded) -> Reshape to its shape

whose inputs are all constant, so ONNX Runtime computes it once, when a session starts. The table (1.2 kB)
takes a third of the time and memory that the same takes by Div, Mod and Sub, and a damaged byte beyond
it ends the session's start instead of making a weight.

With int8 activations x is rounded to 8 bits, one scale for the whole tensor, by DynamicQuantizeLinear and
multiplied as integers by MatMulInteger; the scales of the weight's rows join the scale of x behind the
product, which is the form that ONNX Runtime fuses to one kernel (DynamicQuantizeMatMul, or
MatMulIntegerToFloat where several weights share one x). A scale that changes within a row cannot leave the
sum, so a weight with groups is multiplied in float in either form of file; and so is one of 8 bits, since
ONNX Runtime adds two products in 16 bits on processors without VNNI, which hold those of 4 bits only.

With float activations nothing is rounded but what the model itself rounds: one trained with int8 activations
rounds the inputs of its ternary layers token by token, and so does then the graph.

In the format nbits a product is one MatMulNBits, ONNX Runtime's own operator, and its weight lies as nbits.py
says; int8 activations are then asked for by accuracy_level 4. All else is as in base3.

A weight of 4 or 8 bits is read in the same way from bytes of base 16 or 256, in either format. With float
activations its layer never rounds its inputs.

An embedding is gathered from the int8 codes and its scales from theirs: there is no dense table, not even
once a session has started.

R rows with scales, G groups of a row, I inputs, O outputs, V vocabulary, D width.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tclip.export.layers import MARKS
from tclip.export.nbits import BITS, two_bit_blocks
from tclip.export.writing import GraphWriter
from tclip.ternary.activations import LARGEST_CODE
from tclip.ternary.codec import BASES, TERNARY, powers

NBITS_DOMAIN = "com.microsoft"
LARGEST_INTEGER_BASE = 16  # of codes that are multiplied as integers
# of MatMulNBits: its inputs are rounded to 8 bits, block by block; or are left as float32
ACCURACY_LEVELS = {"int8": 4, "float": 1}
# the codes of every byte, by base; of base 3 there are 243
_TABLES = {
    base: (np.arange(base**digits)[:, None] // powers(base) % base - base // 2).astype(np.int8)
    for base, digits in BASES.items()
}


def spell_out(
    marked: ModelProto, activations: str, weights: str = "base3", rounds: bool = False
) -> ModelProto:
    """Return a copy of a traced graph in which every mark is written in operators of ONNX Runtime.

    Args:
        marked: of trace.py.
        activations: "int8" or "float".
        weights: "base3" or "nbits".
        rounds: whether the model itself rounds the inputs of its ternary layers to int8, token by token; with
            float activations the graph then does the same.
    """
    model = ModelProto()
    model.CopyFrom(marked)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    speller = _Speller(model, activations, rounds)
    if weights == "nbits":
        speller.lay_out_blocks([node for node in nodes if _is_ternary_product(node)])
    spellings: dict[str, Callable[[NodeProto], None]] = {
        "Linear": speller.linear if weights == "base3" else speller.linear_in_blocks,
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


class _Speller(GraphWriter):
    """Appends nodes and constants to a graph. Values are named after the weight they come from."""

    def __init__(self, model: ModelProto, activations: str, rounds: bool) -> None:
        super().__init__(model.graph)
        self.model = model
        self.activations = activations
        self.rounds = rounds and activations == "float"
        self.rounded: dict[str, str] = {}
        self.block_sizes: dict[str, int] = {}

    def linear(self, mark: NodeProto) -> None:
        """x @ (scale codes) + bias."""
        x, _, scale, *bias = self._taken(mark)
        result = mark.output[0]
        product = f"{result}/product" if bias else result
        groups = self.shapes[scale][0] if len(self.shapes[scale]) > 1 else 1
        if self.activations == "float" or groups > 1 or _attribute(mark, "base") > LARGEST_INTEGER_BASE:
            self.node("MatMul", [x, self._dense(mark, scale, groups)], product)
        else:
            self._integer_product(x, mark, scale, product)
        if bias:
            self.node("Add", [product, *bias], result)

    def _taken(self, mark: NodeProto) -> Sequence[str]:
        """The inputs of a product, x rounded if that is due; several products of one x share its rounding."""
        x, *others = mark.input
        if not self.rounds or not _attribute(mark, "rounds"):
            return mark.input
        if x not in self.rounded:
            self.rounded[x] = self._rounded(x)
        return [self.rounded[x], *others]

    def _rounded(self, x: str) -> str:
        """x rounded as tclip.ternary.activations does: per token, its largest magnitude is 127 steps."""
        step = self.node("Abs", [x], f"{x}/magnitude")
        step = self.node("ReduceMax", [step, self.integers(-1)], f"{x}/largest")
        step = self.node("Div", [step, self.constant("largest_code", np.float32(LARGEST_CODE))], f"{x}/step")
        step = self.node("Max", [step, self.constant("tiny", np.finfo(np.float32).tiny)], f"{x}/some_step")
        codes = self.node("Div", [x, step], f"{x}/steps")
        codes = self.node("Round", [codes], f"{x}/codes")
        return self.node("Mul", [codes, step], f"{x}/rounded")

    def _integer_product(self, x: str, mark: NodeProto, scale: str, product: str) -> None:
        parts = rounded, x_scale, zero = [f"{product}/{part}" for part in ("x", "x_scale", "x_zero")]
        name = f"{rounded}/DynamicQuantizeLinear"
        self.graph.node.append(helper.make_node("DynamicQuantizeLinear", [x], parts, name))
        sums = self.node(
            "MatMulInteger", [rounded, self._codes(mark.input[1], mark), zero], f"{product}/sums"
        )
        sums = self.node("Cast", [sums], f"{product}/float", to=TensorProto.FLOAT)
        both = self.node("Mul", [x_scale, scale], f"{product}/scale")
        self.node("Mul", [sums, both], product)

    def lay_out_blocks(self, marks: Sequence[NodeProto]) -> None:
        """Put the blocks of MatMulNBits in the place of the bytes and scales of products."""
        tensors = {tensor.name: tensor for tensor in self.graph.initializer}
        for base3, scale, shape in {(mark.input[1], mark.input[2], _shape(mark)) for mark in marks}:
            bytes_P, scale_GR = (numpy_helper.to_array(tensors[name]) for name in (base3, scale))
            codes_IO = _TABLES[TERNARY][bytes_P].reshape(-1)[: math.prod(shape)].reshape(shape)
            blocks = two_bit_blocks(codes_IO.T, scale_GR.reshape(-1, scale_GR.shape[-1]).T)
            tensors[base3].CopyFrom(numpy_helper.from_array(blocks.packed, _blocks(base3)))
            tensors[scale].CopyFrom(numpy_helper.from_array(blocks.scale_OB, scale))
            self.block_sizes[base3] = blocks.size
            # MatMulNBits packs them when a session starts, and silently takes none if they are behind a Cast
            self.kept.add(scale)
        if marks:
            self.model.opset_import.append(helper.make_opsetid(NBITS_DOMAIN, 1))

    def linear_in_blocks(self, mark: NodeProto) -> None:
        """x @ (scale codes) + bias as one MatMulNBits, if the codes are ternary."""
        if not _is_ternary_product(mark):
            self.linear(mark)
            return
        x, base3, scale, *bias = self._taken(mark)
        inputs, outputs = _shape(mark)
        no_zero_point_nor_order = ["", ""]
        node = helper.make_node(
            "MatMulNBits",
            [x, _blocks(base3), scale, *([*no_zero_point_nor_order, *bias] if bias else [])],
            [mark.output[0]],
            f"{mark.output[0]}/MatMulNBits",
            domain=NBITS_DOMAIN,
            K=inputs,
            N=outputs,
            bits=BITS,
            block_size=self.block_sizes[base3],
            accuracy_level=ACCURACY_LEVELS[self.activations],
        )
        self.graph.node.append(node)

    def embedding(self, mark: NodeProto) -> None:
        """Rows of scale x codes."""
        ids, name, scale = mark.input
        result = mark.output[0]
        rows, groups = self.shapes[scale]
        codes = self.node("Gather", [self._codes(name, mark), ids], f"{result}/codes")
        codes = self.node("Cast", [codes], f"{result}/float", to=TensorProto.FLOAT)
        if rows > 1:
            scale = self.node("Gather", [scale, ids], f"{result}/scale")
        if groups == 1:
            self.node("Mul", [codes, scale], result)
            return
        # A 0 in the shape of a Reshape keeps the axis: batch and tokens.
        split = self.node("Reshape", [codes, self.integers(0, 0, groups, -1)], f"{result}/split")
        scale = self.node("Unsqueeze", [scale, self.integers(-1)], f"{result}/group_scale")
        scaled = self.node("Mul", [split, scale], f"{result}/scaled")
        self.node("Reshape", [scaled, self.integers(0, 0, -1)], result)

    def weight(self, mark: NodeProto) -> None:
        """The dense scale x codes."""
        name, scale = mark.input
        rows, groups, _ = self.shapes[scale]
        codes = self._codes(name, mark, (rows, groups, math.prod(_shape(mark)) // (rows * groups)))
        dense = self.node("Cast", [codes], f"{name}/float", to=TensorProto.FLOAT)
        dense = self.node("Mul", [dense, scale], f"{name}/scaled")
        self.node("Reshape", [dense, self.integers(*_shape(mark))], mark.output[0])

    def _dense(self, mark: NodeProto, scale: str, groups: int) -> str:
        """Scale x codes [I, O] for scales [R], or [G, 1, R]."""
        name, shape = mark.input[1], _shape(mark)
        split = shape if groups == 1 else (groups, shape[0] // groups, shape[1])
        dense = self.node("Cast", [self._codes(name, mark, split)], f"{name}/float", to=TensorProto.FLOAT)
        dense = self.node("Mul", [dense, scale], f"{name}/scaled")
        if groups == 1:
            return dense
        return self.node("Reshape", [dense, self.integers(*shape)], f"{name}/dense")

    def _codes(self, name: str, mark: NodeProto, shape: Sequence[int] | None = None) -> str:
        """Int8 codes of a mark's weight, in its own shape or another."""
        base, shape = _attribute(mark, "base"), shape or _shape(mark)
        table = self.constant(f"base{base}.table", _TABLES[base])
        value = self.node("Cast", [name], f"{name}/bytes", to=TensorProto.INT32)
        value = self.node("Gather", [table, value], f"{name}/digits")
        value = self.node("Reshape", [value, self.integers(-1)], f"{name}/flat")
        ends = [self.integers(0), self.integers(math.prod(shape))]
        value = self.node("Slice", [value, *ends], f"{name}/own")
        return self.node("Reshape", [value, self.integers(*shape)], f"{name}/codes")


def _is_ternary_product(node: NodeProto) -> bool:
    return (node.domain, node.op_type) == (MARKS, "Linear") and _attribute(node, "base") == TERNARY


def _shape(mark: NodeProto) -> tuple[int, ...]:
    return tuple(_attribute(mark, "shape"))


def _attribute(mark: NodeProto, name: str) -> Any:
    (found,) = [helper.get_attribute_value(each) for each in mark.attribute if each.name == name]
    return found


def _blocks(base3: str) -> str:
    """The name of a weight's blocks, from that of its bytes."""
    return f"{base3.removesuffix('.base3')}.blocks"
