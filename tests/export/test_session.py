from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tclip.errors import ModelError
from tclip.export.session import OnnxClip
from tests.export.conftest import Exported
from tests.tiny import FAMILY_NAMES


@pytest.mark.parametrize("family", FAMILY_NAMES)
@torch.no_grad()
def test_folder_needs_nothing_but_itself(
    family: str, exported: Callable[[str], Exported], images: list[Image.Image], texts: list[str]
) -> None:
    clip = exported(family).clip
    encoder = OnnxClip(exported(family).folders["float"], threads=1)
    long = [*texts, " ".join(texts * 20)]  # longer than the tower: cut, as the model's own texts are
    assert np.allclose(
        encoder.embed_images(images), clip.embed_images(clip.preprocess(images)).numpy(), atol=1e-4
    )
    assert np.allclose(encoder.embed_texts(long), clip.embed_texts(clip.tokenize(long)).numpy(), atol=1e-4)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no image_encoder\.onnx: write it with `tclip export onnx"):
        OnnxClip(tmp_path)
