"""Packed folders of every family, and what goes into both towers."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers.utils import logging

from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tests.ternarizing import MIXED_BITS, ternarized

PackedFolder = Callable[..., Path]
TEXTS = ["a red dog", "a", "two cats on a table"]


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.disable_progress_bar()


@pytest.fixture(scope="session")
def packed_folder(
    tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> PackedFolder:
    """packed_folder(family, ...) packs a tiny model once a session; it must not be changed."""

    @lru_cache
    def make(
        family: str = "clip",
        scale: str = "row",
        preset: Any = "all",
        activations: str = "float",
        dtype: str = "float16",
        mixed: bool = False,
    ) -> Path:
        folder = tmp_path_factory.mktemp("packed") / family
        clip = ternarized(load_dense(str(tiny_folder(family))), scale, preset, MIXED_BITS if mixed else None)
        clip.activations = activations
        write_packed(clip, folder, dtype)
        return folder

    return make


@pytest.fixture(scope="session")
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8), "RGB") for _ in range(3)]


@torch.no_grad()
def embedded(clip: Clip, images: list[Image.Image]) -> tuple[Tensor, Tensor]:
    """Embeddings of the images and of TEXTS."""
    return clip.embed_images(clip.preprocess(images)), clip.embed_texts(clip.tokenize(TEXTS))
