"""In which precision a training step computes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Precision = Literal["float32", "bfloat16"]


def precision_of(asked: Literal["auto", "float32", "bfloat16"], device: torch.device) -> Precision:
    """Return what a recipe asks for; "auto": bfloat16 where the device computes it faster than float32.

    Args:
        asked: of the recipe.
        device: that is trained on. One that is neither a CPU nor CUDA's gets float32.
    """
    if asked != "auto":
        return asked
    return "bfloat16" if _is_fast(device) else "float32"


def _is_fast(device: torch.device) -> bool:
    if device.type == "cuda":
        # cards before Ampere take bfloat16 too, and compute it slower than float32
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    cpu: Any = torch.cpu
    return device.type == "cpu" and (cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Within the context, models compute in a precision; their weights stay float32.

    Not Accelerate's own: that is one for all models of a Python process.
    """
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
    with autocast, Float32Attention():
        yield


class Float32Attention(TorchFunctionMode):
    """Within it, attention under a CPU's bfloat16 autocast is computed in float32; all else is as before.

    torch's backward pass of attention in bfloat16 takes several times that in float32 on a CPU, so that a
    step with it would lose most of what its matrix products gain.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call func, in float32 if it is attention."""
        kwargs = kwargs or {}
        if func is not functional.scaled_dot_product_attention or not torch.is_autocast_enabled("cpu"):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(*map(_float32, args), **{key: _float32(value) for key, value in kwargs.items()})


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
