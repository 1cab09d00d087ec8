"""Tiny ternary models, each traced once for all tests of the export."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tclip.export.onnx import write_graphs
from tclip.export.trace import trace_towers
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.recipe.schema import Onnx
from tests.ternarizing import ternarized

FORMS = {
    "int8": Onnx(activations="int8", joint=True),
    "float": Onnx(activations="float", joint=True),
    "nbits": Onnx(format="nbits", joint=True),
}


@dataclass
class Exported:
    """A ternary clip, its traced towers, and its files (with the joint one) by form."""

    clip: Clip
    traced: tuple[Any, Any]
    folders: dict[str, Path]


@pytest.fixture(scope="session")
def exported(
    tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Exported]:
    """exported(family) traces and writes a tiny ternary model once a session; it must not be changed."""

    @lru_cache
    def make(family: str) -> Exported:
        clip = ternarized(load_dense(str(tiny_folder(family))))
        traced = trace_towers(clip)
        folders = {form: tmp_path_factory.mktemp(f"{family}-{form}") for form in FORMS}
        for form, folder in folders.items():
            write_graphs(clip, traced, folder, FORMS[form])
        return Exported(clip, traced, folders)

    return make


@pytest.fixture(scope="session")
def images() -> list[Image.Image]:
    """Five noisy pictures of different shapes."""
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 256, (24 + 10 * i, 40, 3), dtype=np.uint8), "RGB") for i in range(5)
    ]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Five texts of different lengths."""
    return ["a", "a red dog", "two cats on a small table", "the sea at night", "a photo of a tree and a car"]
