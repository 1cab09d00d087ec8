"""Torch layers whose weight stays packed, bytes of codes and scales, and is multiplied out when it is used.

Each is the torch layer in whose place it stands, but for its weight: isinstance, hooks and `layer.weight`
go on working. Its state dict holds NAME_codes and NAME_scale, as the file does.

A weight is seen as [R, G, N]: R rows, G groups a row, N weights to a scale. P bytes. B batch and
tokens, D width, M bytes that a row can touch.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from tclip.packed.format import CODES, SCALE
from tclip.ternary.codec import BASES, TERNARY, decode_codes, num_bytes


class PackedLayer(nn.Module):
    """What the packed layers share.

    Attributes:
        parameter: name of the parameter that is packed.
        shape: its shape.
        base: of its codes: 3 if it is ternary, 16 or 256 if it has 4 or 8 bits.
        dtype: of the weight when it is multiplied out; it follows `.to(dtype)`.
        stand_in: a tensor to answer with instead of unpacking; transformers looks at every weight while
            it loads, only to find that it need not be initialised.
    """

    parameter = "weight"
    shape: tuple[int, ...]
    base: int
    dtype: torch.dtype
    stand_in: Tensor | None = None

    @property
    def codes_P(self) -> Tensor:
        """The bytes of the codes."""
        return self._buffers[self.parameter + CODES]  # type: ignore[return-value]

    @property
    def scale_RG(self) -> Tensor:
        """The scales, in the dtype of the file."""
        return self._buffers[self.parameter + SCALE]  # type: ignore[return-value]

    def dense(self) -> Float[Tensor, "..."]:
        """Return the weight scale x code, a new tensor of the layer's dtype."""
        rows, groups = self.scale_RG.shape
        codes = decode_codes(self.codes_P, math.prod(self.shape), self.dtype, self.base)
        weight_RGN = codes.view(rows, groups, -1).mul_(self.scale_RG.to(self.dtype)[:, :, None])
        return weight_RGN.view(self.shape)

    def __getattr__(self, name: str) -> Any:
        if name == self.parameter:
            return self.dense() if self.stand_in is None else self.stand_in
        return super().__getattr__(name)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PackedLayer":
        """Move or cast the layer; scales are moved but never rounded, so that saving writes the same bits."""
        scale_RG = self.scale_RG
        self.dtype = fn(torch.empty(0, dtype=self.dtype, device=scale_RG.device)).dtype
        super()._apply(fn, recurse)
        if self.scale_RG.dtype != scale_RG.dtype:
            self._buffers[self.parameter + SCALE] = scale_RG.to(self.scale_RG.device)
        return self


class PackedLinear(PackedLayer, nn.Linear):
    """nn.Linear with a packed weight."""


class PackedConv2d(PackedLayer, nn.Conv2d):
    """nn.Conv2d with a packed weight."""


class PackedMultiheadAttention(PackedLayer, nn.MultiheadAttention):
    """nn.MultiheadAttention with a packed projection of queries, keys and values."""

    parameter = "in_proj_weight"


class PackedEmbedding(PackedLayer, nn.Embedding):
    """nn.Embedding with a packed table: only the rows that are asked for are unpacked."""

    def forward(self, input: Int[Tensor, "*B"]) -> Float[Tensor, "*B D"]:
        """Return the rows of the given numbers."""
        (num_rows, width), per_byte = self.shape, BASES[self.base]
        # torch's own look-up refuses a number that is no row, before bytes of another row are read for it
        scale_BG = functional.embedding(input, self.scale_RG.expand(num_rows, -1))
        first_B1 = input[..., None] * width  # a row may begin in the middle of a byte
        longest = (per_byte - 1 + width + per_byte - 1) // per_byte
        place_BM = first_B1 // per_byte + torch.arange(longest, device=input.device)
        bytes_BM = self.codes_P[place_BM.clamp(max=len(self.codes_P) - 1)]
        codes = decode_codes(bytes_BM.flatten(), per_byte * bytes_BM.numel(), self.dtype, self.base)
        places_BD = first_B1 % per_byte + torch.arange(width, device=input.device)
        codes_BD = codes.view(*input.shape, per_byte * longest).gather(-1, places_BD)
        shape = (*scale_BG.shape, width // scale_BG.shape[-1])
        return (codes_BD.view(shape) * scale_BG.to(self.dtype)[..., None]).view(codes_BD.shape)


_PACKED: dict[type[nn.Module], type[PackedLayer]] = {
    nn.Linear: PackedLinear,
    nn.Conv2d: PackedConv2d,
    nn.Embedding: PackedEmbedding,
    nn.MultiheadAttention: PackedMultiheadAttention,
}


def packed_class(module: nn.Module, parameter: str) -> type[PackedLayer] | None:
    """Return the class that can take a module's place with this parameter packed, None if there is none."""
    for torch_class, packed in _PACKED.items():
        if isinstance(module, torch_class) and type(module).forward is torch_class.forward:
            renormed = getattr(module, "max_norm", None) is not None  # that would write into the weight
            return packed if packed.parameter == parameter and not renormed else None
    return None


def make_packed(
    module: Any,
    kind: type[PackedLayer],
    scale_shape: Sequence[int],
    scale_dtype: torch.dtype,
    base: int = TERNARY,
) -> None:
    """Turn a torch layer into a packed one, in place; its codes and scales are not set yet."""
    weight = module._parameters.pop(kind.parameter)
    module.__class__ = kind
    module.shape, module.base, module.dtype = tuple(weight.shape), base, weight.dtype
    empty = {"device": weight.device}
    codes_P = torch.empty(num_bytes(weight.numel(), base), dtype=torch.uint8, **empty)
    module.register_buffer(kind.parameter + CODES, codes_P)
    module.register_buffer(kind.parameter + SCALE, torch.empty(*scale_shape, dtype=scale_dtype, **empty))


def make_dense(module: Any, dtype: torch.dtype) -> None:
    """Turn a packed layer back into the torch layer with a dense weight, in place."""
    weight, parameter = module.dense().to(dtype), module.parameter
    for name in (parameter + CODES, parameter + SCALE):
        del module._buffers[name]
    del module.shape, module.base, module.dtype
    module.__class__ = next(each for each, packed in _PACKED.items() if isinstance(module, packed))
    module.register_parameter(parameter, nn.Parameter(weight))
