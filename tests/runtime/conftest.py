"""Packed tiny models for the runtime, and the same models in torch."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tclip.recipe.quantize import Preset
from tests.ternarizing import MIXED_BITS, ternarized

PackedFolder = Callable[..., Path]


@pytest.fixture(scope="session")
def packed_folder(
    tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> PackedFolder:
    """packed_folder(family, scale, preset, ...) packs a tiny model once; do not change it."""

    @lru_cache
    def make(
        family: str = "clip",
        scale: str = "row",
        preset: Preset = "all",
        activations: str = "int8",
        dtype: str = "float16",
        mixed: bool = False,
    ) -> Path:
        clip = ternarized(load_dense(str(tiny_folder(family))), scale, preset, MIXED_BITS if mixed else None)
        clip.activations = activations
        folder = tmp_path_factory.mktemp("packed") / family
        write_packed(clip, folder, dtype)
        return folder

    return make
