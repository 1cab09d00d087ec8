"""What stock transformers reads as BitNet: ternary linear layers at 2 bits, their inputs rounded to int8.

BitNetQuantConfig with linear_class "autobitlinear" and quantization_mode "offline"
(transformers/integrations/bitnet.py). Such a layer computes (round_int8(x) @ codes.T + bias) * weight_scale.
It scales after it has added the bias, so what is written as bias is bias / scale. Four codes share a byte:
row r of the bytes holds rows r, r + O/4, r + 2 O/4 and r + 3 O/4, code + 1 each, from the low bits up. There
is one scale a weight, and inputs are rounded per token as ours are (ternary/activations.py).

Only linear layers have such a form. Ternary embeddings, the convolution that cuts patches and the weights of
nn.MultiheadAttention (SigLIP's pooling head) are written multiplied out; the inputs of the latter two are not
rounded. So are weights of 4 and 8 bits.

O outputs, I inputs.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int8, UInt8
from torch import Tensor, nn

from tclip.errors import ModelError, listed
from tclip.export.onnx import WrittenFile
from tclip.export.stock import rounded, write_stock
from tclip.export.target import alike
from tclip.models.clip import Clip
from tclip.models.fetch import fetch
from tclip.models.load import clip_from, dense_model
from tclip.ternary.tensor import TernaryTensor

DTYPE = torch.bfloat16
CODES_PER_BYTE = 4


def export_bitnet(clip: Clip, folder: Path) -> list[WrittenFile]:
    """Write a clip as a BitNet folder of transformers; what is not ternary is rounded to bfloat16.

    Args:
        clip: a model with one scale for each ternary weight of a linear layer, and int8 activations.
        folder: where to; an older folder is replaced once all is written.

    Returns:
        the files, the largest first.

    Raises:
        ModelError: BitNet cannot say what the model does; all that is in the way is named.
    """
    ternary, dense = _linear_layers(clip)
    _refuse_unfit(clip, ternary)
    tensors = rounded(clip, DTYPE)
    for name in ternary:
        tensors |= _layer_tensors(name, clip.ternary[f"{name}.weight"], clip.model.get_submodule(name).bias)
    config = {
        "quant_method": "bitnet",
        "linear_class": "autobitlinear",
        "quantization_mode": "offline",
        "use_rms_norm": False,
        "modules_to_not_convert": dense,
    }
    return write_stock(clip, folder, tensors, DTYPE, config)


def open_bitnet(folder: Path, packed: Path) -> Clip:
    """Open such a folder with stock transformers, with float32 arithmetic on its bfloat16 numbers.

    transformers compiles the rounding of inputs where it can; for a few batches that is not worth its time.

    Args:
        folder: that export_bitnet wrote.
        packed: not needed, the folder has a tokenizer and a preprocessor of its own.

    Raises:
        ModelError: it cannot be read.
    """
    files = fetch(str(folder))
    uncompiled: Any = torch.compiler.set_stance("force_eager")
    with warnings.catch_warnings():
        # what torch's compiler says of torch itself when it is imported
        warnings.filterwarnings("ignore", r".torch\.jit\.script_method. is deprecated", DeprecationWarning)
        model = uncompiled(dense_model)(files, "auto").to(torch.float32)
    for method in ("get_image_features", "get_text_features"):
        setattr(model, method, uncompiled(getattr(model, method)))
    return clip_from(files, model)


def pack_rows(codes_OI: Int8[Tensor, "O I"]) -> UInt8[Tensor, "_ I"]:
    """Pack the codes of O rows, a multiple of 4, into O/4 rows of bytes."""
    digits_4RI = (codes_OI + 1).to(torch.uint8).reshape(CODES_PER_BYTE, -1, codes_OI.shape[1])
    first, second, third, fourth = digits_4RI
    return first | second << 2 | third << 4 | fourth << 6


def _linear_layers(clip: Clip) -> tuple[list[str], list[str]]:
    """Return the names of the linear layers that are ternary, and of those that must stay as they are.

    A subclass such as the out_proj of nn.MultiheadAttention stays: its weight is used without its forward.
    """
    layers = {name: module for name, module in clip.model.named_modules() if isinstance(module, nn.Linear)}
    ternary = [
        name for name in layers if type(layers[name]) is nn.Linear and f"{name}.weight" in clip.ternary
    ]
    return ternary, [name for name in layers if name not in ternary]


def _layer_tensors(name: str, weight: TernaryTensor, bias: Tensor | None) -> dict[str, Tensor]:
    codes_OI, scale = weight.codes.cpu(), weight.scale_RG.cpu().reshape(1).to(DTYPE)
    if not scale:  # a weight of zeros; the bias must not be divided by it
        codes_OI, scale = torch.zeros_like(codes_OI), torch.ones_like(scale)
    fits = len(codes_OI) % CODES_PER_BYTE == 0  # transformers takes other weights unpacked
    tensors = {
        f"{name}.weight": pack_rows(codes_OI) if fits else codes_OI.to(DTYPE),
        f"{name}.weight_scale": scale,
    }
    if bias is not None:
        tensors[f"{name}.bias"] = (bias.detach().cpu() / scale.float()).to(DTYPE)
    return tensors


def _refuse_unfit(clip: Clip, ternary: list[str]) -> None:
    faults = [
        (f"{name}.weight", f"scales per {clip.ternary[f'{name}.weight'].granularity}")
        for name in ternary
        if clip.ternary[f"{name}.weight"].scale_RG.numel() > 1
    ]
    offenders = alike(faults)
    if clip.activations != "int8":
        offenders.insert(0, "activations: float")
    if not ternary:
        offenders.append("no linear layer is ternary")
    if offenders:
        raise ModelError(
            f"{clip.source.id} cannot be written as BitNet, which has int8 activations and one scale a "
            "weight: compress the model with quantize.activations=int8 and quantize.scale=tensor, or choose "
            f"--format dense.{listed(offenders)}"
        )
