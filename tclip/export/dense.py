"""An ordinary bfloat16 folder: every ternary weight multiplied out, for people without tclip."""

from pathlib import Path

import torch

from tclip.export.onnx import WrittenFile
from tclip.export.stock import rounded, write_stock
from tclip.models.clip import Clip
from tclip.models.load import load_dense

DTYPE = torch.bfloat16


def export_dense(clip: Clip, folder: Path) -> list[WrittenFile]:
    """Write a clip as an ordinary folder of transformers in bfloat16.

    A ternary weight becomes its float32 product scale x code, rounded once; all else is rounded too.

    Args:
        clip: the model; its layers take float inputs in what is written, whatever clip.activations says.
        folder: where to; an older folder is replaced once all is written.

    Returns:
        the files, the largest first.
    """
    return write_stock(clip, folder, rounded(clip, DTYPE), DTYPE)


def open_dense(folder: Path, packed: Path) -> Clip:
    """Open such a folder, with float32 arithmetic on its bfloat16 weights.

    Args:
        folder: that export_dense wrote.
        packed: not needed, the folder has a tokenizer and a preprocessor of its own.

    Raises:
        ModelError: it cannot be read.
    """
    return load_dense(str(folder))
