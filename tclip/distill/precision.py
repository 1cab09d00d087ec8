"""In which precision a training step computes."""

from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode


def mixed_precision(asked: str) -> str:
    """Return what Accelerate calls the precision of a recipe: "bf16" or "no".

    Args:
        asked: "float32", "bfloat16", or "auto": bfloat16 where the device computes it faster than float32.
    """
    if asked != "auto":
        return {"float32": "no", "bfloat16": "bf16"}[asked]
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    cpu: Any = torch.cpu
    return "bf16" if cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported() else "no"


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
        if args[0].device.type != "cpu":
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(*map(_float32, args), **{key: _float32(value) for key, value in kwargs.items()})


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
