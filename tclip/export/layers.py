"""Layers that stand in a model while torch.onnx.export traces it; products with codes are only marked.

A mark is an operator of the domain "tclip". What it means in standard operators is spelled out afterwards
(spell.py), so one trace serves every form of file, and the exporter's own optimiser, which folds
constants, has nothing to fold.

* tclip::Linear (x, codes, scale, bias?)  shape = [I, O]       x @ (scale codes) + bias
                                          rounds               1 if a model that rounds inputs rounds this x
* tclip::Embedding (ids, codes, scale)    shape = [V, D]       rows of (scale codes)
* tclip::Weight (codes, scale)            shape = [O, I, ...]  scale codes
* tclip::Name (x)                         name                 x, a value that keeps a name

Codes are bytes (ternary/codec.py) of digits of base 3, or of 16 or 256 where a weight has 4 or 8 bits; the
first three operators say their `base`.

B batch, O outputs, I inputs, V vocabulary, D width, C channels, H height, W width, R rows with scales,
G groups of a row.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from tclip.ternary.codec import TERNARY, pack_codes
from tclip.ternary.tensor import CodedTensor

MARKS = "tclip"


def mark(
    operator: str, inputs: Sequence[Tensor], result_shape: Sequence[Any], **attributes: Any
) -> Float[Tensor, "..."]:
    """Put an operator of our own into the graph; its result is float32 of the given shape."""
    return torch.onnx.ops.symbolic(
        f"{MARKS}::{operator}", inputs, attributes, dtype=torch.float32, shape=result_shape, version=1
    )


class CodedWeight(nn.Module):
    """Codes as bytes and their scales, in the layout that the graph computes with.

    The bytes bear the name base3, or base16 or base256, in the file too.
    """

    dtype = torch.float32  # some towers cast their input to the type of a weight

    def __init__(self, codes: Int8[Tensor, "..."], scale: Float[Tensor, "..."], base: int) -> None:
        super().__init__()
        self.shape = tuple(codes.shape)
        self.base = base
        self.scale: Tensor
        self.register_buffer(f"base{base}", pack_codes(codes, base))
        self.register_buffer("scale", scale.float().contiguous())

    @property
    def bytes(self) -> Tensor:
        """The bytes of the codes."""
        return self.get_buffer(f"base{self.base}")

    def mark(
        self,
        operator: str,
        x: Tensor | None,
        bias: Tensor | None,
        result_shape: Sequence[Any],
        **attributes: Any,
    ) -> Float[Tensor, "..."]:
        """Put an operator on x, this weight and a bias into the graph."""
        inputs = [each for each in (x, self.bytes, self.scale, bias) if each is not None]
        return mark(operator, inputs, result_shape, shape=self.shape, base=self.base, **attributes)


class Linear(nn.Module):
    """x @ (scale codes) + bias. Scales are kept as [R], or as [G, 1, R] if a row has several.

    Args:
        weight: codes and scales.
        bias: added to the product, if any.
        rounds: whether the model rounds x, if it rounds the inputs of ternary layers at all.
    """

    def __init__(self, weight: CodedTensor, bias: Tensor | None, rounds: bool = True) -> None:
        super().__init__()
        self.rounds = rounds and weight.base == TERNARY
        scale_GR = weight.scale_RG.T
        scale = scale_GR[0] if len(scale_GR) == 1 else scale_GR.unsqueeze(1)
        self.weight = CodedWeight(weight.codes.flatten(1).T.contiguous(), scale, weight.base)
        self.bias = bias

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        """Return the product."""
        shape = (*x.shape[:-1], self.weight.shape[1])
        return self.weight.mark("Linear", x, self.bias, shape, rounds=int(self.rounds))


class Embedding(nn.Module):
    """Rows of scale x codes. Scales are kept as [R, G]."""

    def __init__(self, weight: CodedTensor) -> None:
        super().__init__()
        self.weight = CodedWeight(weight.codes, weight.scale_RG, weight.base)

    def forward(self, input_ids: Tensor) -> Float[Tensor, "*B D"]:
        """Return the embeddings of token ids."""
        shape = (*input_ids.shape, self.weight.shape[1])
        return self.weight.mark("Embedding", input_ids, None, shape)


class Patches(Linear):
    """A convolution whose patches lie side by side, as a linear layer on patches.

    ONNX Runtime has a fused integer kernel for MatMulInteger and none for ConvInteger.
    """

    def __init__(self, conv: nn.Conv2d, weight: CodedTensor) -> None:
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

    def __init__(self, conv: nn.Conv2d, weight: CodedTensor) -> None:
        super().__init__()
        self.weight = CodedWeight(weight.codes, weight.scale_RG.unsqueeze(-1), weight.base)
        self.bias = conv.bias
        self.options: dict[str, Any] = {
            name: getattr(conv, name) for name in ("stride", "padding", "dilation", "groups")
        }

    def forward(self, pixel_BCHW: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O h w"]:
        """Return the convolution with scale x codes."""
        dense = self.weight.mark("Weight", None, None, self.weight.shape)
        return nn.functional.conv2d(pixel_BCHW, dense, self.bias, **self.options)


class Attention(nn.Module):
    """nn.MultiheadAttention (batch first) with its projections written out, so that each can be coded.

    B batch, T queries, S keys.
    """

    def __init__(self, attention: nn.MultiheadAttention, coded: dict[str, CodedTensor]) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        fused: Any = coded.get("in_proj_weight", attention.in_proj_weight)
        bias = attention.in_proj_bias
        biases = (None, None, None) if bias is None else bias.detach().chunk(3)
        self.query, self.key, self.value = (
            _projection(_third(fused, index), biases[index]) for index in range(3)
        )
        output: Any = coded.get("out_proj.weight", attention.out_proj.weight)
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
    if not isinstance(weight, CodedTensor):
        return weight.detach().chunk(3)[index]
    per_tensor = weight.scale_RG.shape[0] == 1
    scale_RG = weight.scale_RG if per_tensor else weight.scale_RG.chunk(3)[index]
    return replace(weight, codes=weight.codes.chunk(3)[index], scale_RG=scale_RG)


def _projection(weight: Any, bias: Tensor | None, rounds: bool = True) -> nn.Module:
    if isinstance(weight, CodedTensor):
        return Linear(weight, bias, rounds)
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = nn.Parameter(weight)
    linear.register_parameter("bias", None if bias is None else nn.Parameter(bias))
    return linear
