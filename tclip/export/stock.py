"""Writing a folder that stock transformers loads, in a process that never imports tclip."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tclip.export.onnx import WrittenFile
from tclip.export.target import written_files
from tclip.models.clip import Clip
from tclip.models.load import quiet
from tclip.packed.replace import written_whole


def write_stock(
    clip: Clip,
    folder: Path,
    tensors: dict[str, Tensor],
    dtype: torch.dtype,
    quantization: dict[str, Any] | None = None,
) -> list[WrittenFile]:
    """Write a transformers folder: config, weights, tokenizer, preprocessor; an older one is replaced last.

    Args:
        clip: whose config, tokenizer and preprocessor are written.
        folder: where to.
        tensors: the weights, under the names that the model class gives them.
        dtype: of its floats, which config.json names.
        quantization: the quantization_config, in the words of transformers.

    Returns:
        the files, the largest first.
    """
    model = _hollow(clip, dtype)
    if quantization is not None:
        model.config.quantization_config = quantization
    with written_whole(folder) as temporary, quiet():
        # the model's own writer knows the names of the Hub's files, where they differ from the class's
        model.save_pretrained(temporary, state_dict=tensors)
        clip.tokenizer.save_pretrained(temporary)
        clip.image_processor.save_pretrained(temporary)
    return written_files(folder)


def rounded(clip: Clip, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return all tensors of a clip with their floats rounded to a dtype; of a ternary weight scale x code."""
    weights = {name: tensor.dense() for name, tensor in clip.ternary.items()}
    state: dict[str, Tensor] = {**clip.model.state_dict(), **weights}
    return {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in state.items()
    }


def _hollow(clip: Clip, dtype: torch.dtype) -> Any:
    """Make a model of the same class and config without weights."""
    from transformers import AutoModel

    with torch.device("meta"):
        return AutoModel.from_config(copy.deepcopy(clip.model.config), dtype=dtype)
