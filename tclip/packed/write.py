"""Writing a ternary model: whole or not at all."""

import glob
import os
import shutil
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
    FORMAT_VERSION,
    METADATA_KEY,
    MODEL_FILE,
    SCALE,
    Header,
)
from tclip.packed.replace import replace_folder
from tclip.ternary.codec import pack_base3

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
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f"{glob.escape(f'.{folder.name}.writing-')}*"):
        shutil.rmtree(leftover, ignore_errors=True)  # of a writer that was killed
    temporary = folder.with_name(f".{folder.name}.writing-{os.getpid()}")
    try:
        temporary.mkdir()
        _save_config(clip, temporary, dtype)
        clip.tokenizer.save_pretrained(temporary)
        clip.image_processor.save_pretrained(temporary)
        header = Header(
            FORMAT_VERSION,
            {name: list(tensor.codes.shape) for name, tensor in clip.ternary.items()},
            {name: checksum(tensor) for name, tensor in tensors.items()},
        )
        save_file(tensors, temporary / MODEL_FILE, {"format": "pt", METADATA_KEY: header.to_json()})
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _tensors(clip: Clip, dtype: torch.dtype) -> dict[str, Tensor]:
    tensors = {
        name: parameter.detach().cpu().to(dtype).contiguous()
        for name, parameter in clip.model.state_dict().items()
        if name not in clip.ternary
    }
    offenders = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    for name, ternary in clip.ternary.items():
        tensors[name + CODES] = pack_base3(ternary.codes.cpu())
        tensors[name + SCALE] = ternary.scale_RG.cpu().to(dtype).contiguous()
        if not _holds(ternary.scale_RG.cpu(), dtype):
            offenders.append(name + SCALE)
    if offenders:
        raise FormatError(
            f"{dtype} cannot hold the values of these tensors (infinite, NaN or rounded to 0); "
            f"set pack.dtype to float32 if they are finite:{listed(sorted(offenders))}"
        )
    return tensors


def _holds(scale_RG: Tensor, dtype: torch.dtype) -> bool:
    rounded_RG = scale_RG.to(dtype).float()
    # The log of a scale cannot be of 0: what training keeps for an all-zero row is far below any use.
    lost = (rounded_RG == 0) & (scale_RG > 1e-9)
    return bool(torch.isfinite(rounded_RG).all() and not lost.any())


def _save_config(clip: Clip, folder: Path, dtype: str) -> None:
    config: Any = clip.model.config
    granularities = sorted({tensor.granularity for tensor in clip.ternary.values()})
    config.quantization_config = {
        "quant_method": "tclip",
        "format_version": FORMAT_VERSION,
        "codes": "base3",
        "scale": granularities,
        "dtype": dtype,
        "activations": clip.activations,
        "base_model": _published(clip.base or clip.source),
    }
    try:
        config.save_pretrained(folder)
    finally:
        del config.quantization_config


def _published(source: ModelSource) -> dict[str, str | None]:
    """Describe a source for others: of a local folder its name, not where it lies on this machine."""
    local = Path(source.id).expanduser().is_dir()
    return asdict(source) | {"id": Path(source.id).expanduser().resolve().name if local else source.id}
