"""The format "pack-quantized" of compressed-tensors: linear layers and token tables at 2 bits, any scales.

transformers reads it where the package compressed-tensors is installed. A code + 2 takes two bits, 16 of them
an int32, the first in the low bits; a row begins a new int32. The config asks for `dequantize`: transformers
multiplies the weights out while it loads them. Left packed, they would be multiplied out at the first call of
the whole model too, but get_image_features alone would fail, and a packed token table does not load.

Other ternary weights (the convolution that cuts patches, those of nn.MultiheadAttention) are written as
scale x code in float16. So are weights of 4 and 8 bits, mostly in float32, since float16 does not hold the
product: with `dequantize` transformers reads one number of bits. Inputs of layers are not rounded.

O outputs, I inputs, W words.
"""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int8, Int32
from torch import Tensor, nn

from tclip.errors import ModelError, UserError, listed
from tclip.export.onnx import WrittenFile
from tclip.export.stock import rounded, write_stock
from tclip.export.target import alike
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.ternary.tensor import TernaryTensor

CODES_PER_WORD = 16
STRATEGIES = {"tensor": "tensor", "row": "channel"}


def export_compressed(clip: Clip, folder: Path) -> list[WrittenFile]:
    """Write a clip as a compressed-tensors folder of transformers; what float16 holds exactly is float16.

    Args:
        clip: the model; its layers take float inputs in what is written, whatever clip.activations says.
        folder: where to; an older folder is replaced once all is written.

    Returns:
        the files, the largest first.

    Raises:
        UserError: compressed-tensors, which must read the files again, is not installed.
        ModelError: no weight has this form, or weights differ in how many share a scale.
    """
    _require_package()
    modules = _packable(clip)
    granularity = _granularity(clip, modules)
    tensors = rounded(clip, torch.float32)
    for name in modules:
        del tensors[f"{name}.weight"]
        tensors |= _packed_tensors(name, clip.ternary[f"{name}.weight"])
    halved = {name: _halved(tensor) for name, tensor in tensors.items()}
    return write_stock(clip, folder, halved, torch.float32, _config(modules, granularity))


def open_compressed(folder: Path, packed: Path) -> Clip:
    """Open such a folder with stock transformers, in float32.

    Args:
        folder: that export_compressed wrote.
        packed: not needed, the folder has a tokenizer and a preprocessor of its own.

    Raises:
        UserError: compressed-tensors is not installed.
        ModelError: it cannot be read.
    """
    _require_package()
    return load_dense(str(folder))


def pack_words(codes_OI: Int8[Tensor, "O I"]) -> Int32[Tensor, "O W"]:
    """Pack the codes of each row into int32 words, two bits each; unused bits of the last are 0."""
    missing = -codes_OI.shape[1] % CODES_PER_WORD
    digits = nn.functional.pad(codes_OI.to(torch.int64) + 2, (0, missing)).unflatten(1, (-1, CODES_PER_WORD))
    words_OW = (digits << torch.arange(0, 32, 2)).sum(-1)
    return words_OW.to(torch.int32)  # the highest bit becomes the sign


def _packed_tensors(name: str, weight: TernaryTensor) -> dict[str, Tensor]:
    scale = weight.scale_RG.cpu()
    return {
        f"{name}.weight_packed": pack_words(weight.codes.cpu()),
        f"{name}.weight_shape": torch.tensor(weight.codes.shape),
        f"{name}.weight_scale": scale.reshape(1) if weight.granularity == "tensor" else scale.contiguous(),
    }


def _packable(clip: Clip) -> list[str]:
    """Return the names of the modules whose ternary weight has this form."""
    return [
        name
        for name, module in clip.model.named_modules()
        if type(module) in (nn.Linear, nn.Embedding) and f"{name}.weight" in clip.ternary
    ]


def _granularity(clip: Clip, modules: list[str]) -> str:
    found = {f"{name}.weight": clip.ternary[f"{name}.weight"].granularity for name in modules}
    if not found:
        raise ModelError(
            f"{clip.source.id} has no ternary linear layer or token table, and compressed-tensors holds no "
            "other: choose --format dense."
        )
    if len(set(found.values())) > 1:
        lines = alike((name, f"scales per {granularity}") for name, granularity in found.items())
        raise ModelError(
            f"transformers reads compressed-tensors with one kind of scales, {clip.source.id} has several: "
            f"choose --format dense.{listed(lines)}"
        )
    return next(iter(found.values()))


def _config(modules: list[str], granularity: str) -> dict[str, Any]:
    kind, _, size = granularity.partition(":")
    weights = {
        "num_bits": 2,
        "type": "int",
        "symmetric": True,
        "strategy": STRATEGIES.get(kind, kind),
        "group_size": int(size) if size else None,
        "dynamic": False,
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": modules, "weights": weights}},
        "ignore": [],
        "dequantize": True,
    }


def _halved(tensor: Tensor) -> Tensor:
    """Return a tensor as float16 where that is exact."""
    half = tensor.half() if tensor.is_floating_point() else tensor
    return half if torch.equal(half.to(tensor.dtype), tensor) else tensor


def _require_package() -> None:
    if importlib.util.find_spec("compressed_tensors") is None:
        raise UserError(
            "transformers reads this format with the package compressed-tensors: "
            "pip install 'tclip[compressed]'."
        )
