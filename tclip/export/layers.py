"""Layers that stand in a model while torch.onnx.export traces it; their ternary products are only marked.

A mark is an operator of the domain "tclip". What it means in standard operators is spelled out afterwards
(spell.py), so one trace serves every form of file, and the exporter's own optimiser, which folds
constants, has nothing to fold.

* tclip::Linear (x, base3, scale, bias?)  shape = [I, O]       x @ (scale codes) + bias
                                          rounds               1 if a model that rounds inputs rounds this x
* tclip::Embedding (ids, base3, scale)    shape = [V, D]       rows of (scale codes)
* tclip::Weight (base3, scale)            shape = [O, I, ...]  scale codes
* tclip::Name (x)                         name                 x, a value that keeps a name

B batch, O outputs, I inputs, V vocabulary, D width, C channels, H height, W width, R rows with scales,
G groups of a row.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from tclip.ternary.codec import pack_base3
from tclip.ternary.tensor import TernaryTensor

MARKS = "tclip"


def mark(
    operator: str, inputs: Sequence[Tensor], result_shape: Sequence[Any], **attributes: Any
) -> Float[Tensor, "..."]:
    """Put an operator of our own into the graph; its result is float32 of the given shape."""
    return torch.onnx.ops.symbolic(
        f"{MARKS}::{operator}", inputs, attributes, dtype=torch.float32, shape=result_shape, version=1
    )


class TernaryWeight(nn.Module):
    """Codes as base-3 bytes and their scales, in the layout that the graph computes with."""

    dtype = torch.float32  # some towers cast their input to the type of a weight

    def __init__(self, codes: Int8[Tensor, "..."], scale: Float[Tensor, "..."]) -> None:
        super().__init__()
        self.shape = tuple(codes.shape)
        self.base3: Tensor
        self.scale: Tensor
        self.register_buffer("base3", pack_base3(codes))
        self.register_buffer("scale", scale.float().contiguous())


class Linear(nn.Module):
    """x @ (scale codes) + bias. Scales are kept as [R], or as [G, 1, R] if a row has several.

    Args:
        weight: the ternary weight.
        bias: added to the product, if any.
        rounds: whether the model rounds x, if it rounds the inputs of ternary layers at all.
    """

    def __init__(self, weight: TernaryTensor, bias: Tensor | None, rounds: bool = True) -> None:
        super().__init__()
        self.rounds = rounds
        scale_GR = weight.scale_RG.T
        scale = scale_GR[0] if len(scale_GR) == 1 else scale_GR.unsqueeze(1)
        self.weight = TernaryWeight(weight.codes.flatten(1).T.contiguous(), scale)
        self.bias = bias

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        """Return the product."""
        weight = self.weight
        inputs = (x, weight.base3, weight.scale, *(() if self.bias is None else (self.bias,)))
        shape = (*x.shape[:-1], weight.shape[1])
        return mark("Linear", inputs, shape, shape=weight.shape, rounds=int(self.rounds))


class Embedding(nn.Module):
    """Rows of scale x codes. Scales are kept as [R, G]."""

    def __init__(self, weight: TernaryTensor) -> None:
        super().__init__()
        self.weight = TernaryWeight(weight.codes, weight.scale_RG)

    def forward(self, input_ids: Tensor) -> Float[Tensor, "*B D"]:
        """Return the embeddings of token ids."""
        weight = self.weight
        shape = (*input_ids.shape, weight.shape[1])
        return mark("Embedding", (input_ids, weight.base3, weight.scale), shape, shape=weight.shape)


class Patches(Linear):
    """A convolution whose patches lie side by side, as a linear layer on patches.

    ONNX Runtime has a fused integer kernel for MatMulInteger and none for ConvInteger.
    """

    def __init__(self, conv: nn.Conv2d, weight: TernaryTensor) -> None:
        super().__init__(weight, conv.bias)
        self.height, self.width = conv.kernel_size

    def forward(self, pixel_BCHW: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O h w"]:
        """Return the features of every patch."""
        batch, channels, height, width = pixel_BCHW.shape
        rows, columns = height // self.height, width // self.width
        whole = pixel_BCHW[:, :, : rows * self.height, : columns * self.width]
        squares = whole.reshape(batch, channels, rows, self.height, columns, self.width)
        patches = squares.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)
        return super().forward(patches).transpose(1, 2).unflatten(2, (rows, columns))


class Convolution(nn.Module):
    """Any other convolution, on float inputs. Scales are kept as [R, G, 1]."""

    def __init__(self, conv: nn.Conv2d, weight: TernaryTensor) -> None:
        super().__init__()
        self.weight = TernaryWeight(weight.codes, weight.scale_RG.unsqueeze(-1))
        self.bias = conv.bias
        self.options: dict[str, Any] = {
            name: getattr(conv, name) for name in ("stride", "padding", "dilation", "groups")
        }

    def forward(self, pixel_BCHW: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O h w"]:
        """Return the convolution with scale x codes."""
        weight = self.weight
        dense = mark("Weight", (weight.base3, weight.scale), weight.shape, shape=weight.shape)
        return nn.functional.conv2d(pixel_BCHW, dense, self.bias, **self.options)


class Attention(nn.Module):
    """nn.MultiheadAttention (batch first) with its projections written out, so that each can be ternary.

    B batch, T queries, S keys.
    """

    def __init__(self, attention: nn.MultiheadAttention, ternary: dict[str, TernaryTensor]) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        fused: Any = ternary.get("in_proj_weight", attention.in_proj_weight)
        bias = attention.in_proj_bias
        biases = (None, None, None) if bias is None else bias.detach().chunk(3)
        self.query, self.key, self.value = (
            _projection(_third(fused, index), biases[index]) for index in range(3)
        )
        output: Any = ternary.get("out_proj.weight", attention.out_proj.weight)
        # in torch nothing can round what the fused attention passes to its output projection
        self.output = _projection(output, attention.out_proj.bias, rounds=False)

    def forward(
        self,
        query_BTD: Float[Tensor, "B T D"],
        key_BSD: Float[Tensor, "B S D"],
        value_BSD: Float[Tensor, "B S D"],
        attn_mask: Tensor | None = None,
    ) -> tuple[Float[Tensor, "B T D"], None]:
        """Return (attended values, None), as nn.MultiheadAttention without its weights does."""
        query, key, value = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x in (self.query(query_BTD), self.key(key_BSD), self.value(value_BSD))
        )
        score = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        if attn_mask is not None:
            score = score + attn_mask.unflatten(0, (-1, self.num_heads))
        mixed = score.softmax(-1) @ value
        return self.output(mixed.transpose(1, 2).flatten(2)), None


def _third(weight: Any, index: int) -> Any:
    """Return the rows of a fused [3 D, D] weight that belong to query, key or value."""
    if not isinstance(weight, TernaryTensor):
        return weight.detach().chunk(3)[index]
    per_tensor = weight.scale_RG.shape[0] == 1
    scale_RG = weight.scale_RG if per_tensor else weight.scale_RG.chunk(3)[index]
    return TernaryTensor(weight.codes.chunk(3)[index], scale_RG)


def _projection(weight: Any, bias: Tensor | None, rounds: bool = True) -> nn.Module:
    if isinstance(weight, TernaryTensor):
        return Linear(weight, bias, rounds)
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = nn.Parameter(weight)
    linear.register_parameter("bias", None if bias is None else nn.Parameter(bias))
    return linear
