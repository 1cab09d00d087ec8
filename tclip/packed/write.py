"""Writing a ternary model: whole or not at all."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tclip.errors import FormatError, listed
from tclip.models.clip import Clip
from tclip.models.source import ModelSource
from tclip.packed.checksum import checksum
from tclip.packed.format import (
    CODES,
    METADATA_KEY,
    MODEL_FILE,
    SCALE,
    Header,
    version_for,
)
from tclip.packed.replace import written_whole
from tclip.ternary.codec import pack_codes

DTYPES = {"float16": torch.float16, "float32": torch.float32}


def write_packed(clip: Clip, folder: Path, dtype: str = "float16") -> None:
    """Write a ternary CLIP as a model folder in the packed format; an existing one is replaced at the end.

    Args:
        clip: the model, with `clip.ternary` set.
        folder: where to.
        dtype: "float16" or "float32", of the scales and of everything that is not ternary.

    Raises:
        FormatError: the model is not ternary, or holds numbers that the dtype cannot.
    """
    if not clip.ternary:
        raise FormatError(f"{clip.source.id} has no ternary weights: calibrate it first.")
    tensors = _tensors(clip, DTYPES[dtype])
    with written_whole(folder) as temporary:
        _save_config(clip, temporary, dtype)
        clip.tokenizer.save_pretrained(temporary)
        clip.image_processor.save_pretrained(temporary)
        bits = _bits(clip)
        header = Header(
            version_for(bits),
            {name: list(tensor.codes.shape) for name, tensor in clip.coded.items()},
            {name: checksum(tensor) for name, tensor in tensors.items()},
            bits,
        )
        save_file(tensors, temporary / MODEL_FILE, {"format": "pt", METADATA_KEY: header.to_json()})


def _bits(clip: Clip) -> dict[str, int]:
    return {name: tensor.bits for name, tensor in clip.ints.items()}


def _tensors(clip: Clip, dtype: torch.dtype) -> dict[str, Tensor]:
    coded = clip.coded
    tensors = {
        name: parameter.detach().cpu().to(dtype).contiguous()
        for name, parameter in clip.model.state_dict().items()
        if name not in coded
    }
    offenders = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    for name, weight in coded.items():
        tensors[name + CODES] = pack_codes(weight.codes.cpu(), weight.base)
        tensors[name + SCALE] = weight.scale_RG.cpu().to(dtype).contiguous()
        if not _holds(weight.scale_RG.cpu(), dtype):
            offenders.append(name + SCALE)
    if offenders:
        raise FormatError(
            f"{dtype} cannot hold the values of these tensors (infinite, NaN or rounded to 0); "
            f"set pack.dtype to float32 if they are finite:{listed(sorted(offenders))}"
        )
    return tensors


def _holds(scale_RG: Tensor, dtype: torch.dtype) -> bool:
    rounded_RG = scale_RG.to(dtype).float()
    # A scale that becomes 0 is lost, unless that changes its weights by no more than rounding the tensor's
    # largest scale may change others, or it stands for 0 itself: training keeps what has a logarithm.
    negligible = max(float(scale_RG.max()) * torch.finfo(dtype).eps / 2, 1e-9)
    lost = (rounded_RG == 0) & (scale_RG > negligible)
    return bool(torch.isfinite(rounded_RG).all() and not lost.any())


def _save_config(clip: Clip, folder: Path, dtype: str) -> None:
    config: Any = clip.model.config
    granularities = sorted({tensor.granularity for tensor in clip.coded.values()})
    bits = _bits(clip)
    quantization = {
        "quant_method": "tclip",
        "format_version": version_for(bits),
        "codes": "base3",
        **({"integer_bits": sorted(set(bits.values()))} if bits else {}),
        "scale": granularities,
        "dtype": dtype,
        "activations": clip.activations,
        "base_model": _published(clip.base or clip.source),
    }
    # transformers reads only a tower's part of the file where a tower is loaded alone; without the dtype it
    # would compute in the one that floats are stored in
    parts = [config, *(getattr(config, name) for name in config.sub_configs)]
    try:
        for part in parts:
            part.quantization_config, part.dtype = quantization, torch.float32
        config.save_pretrained(folder)
    finally:
        for part in parts:
            del part.quantization_config


def _published(source: ModelSource) -> dict[str, str | None]:
    """Describe a source for others: of a local folder its name, not where it lies on this machine."""
    local = Path(source.id).expanduser().is_dir()
    return asdict(source) | {"id": Path(source.id).expanduser().resolve().name if local else source.id}
