"""What multiplying out costs where weights stay packed in transformers. Printed, never asserted."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPModel

from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tests.sized import PATCH_SIZES, sized_clip

NUM_TOKENS = 16


@pytest.fixture(scope="module")
def models(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A CLIP of the sizes of ViT-B/32, packed and dense."""
    folder = tmp_path_factory.mktemp("b32") / "packed"
    with torch.no_grad():
        write_packed(sized_clip(load_dense(str(tiny_folder("clip"))), PATCH_SIZES["b32"]), folder)
    packed, dense = (CLIPModel.from_pretrained(folder) for _ in range(2))
    dense.dequantize()
    return packed, dense


@pytest.mark.parametrize("batch", [1, 8, 32])
def test_forward(models: tuple[Any, Any], batch: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that processor time is what one core takes
    pixels = torch.randn(batch, 3, 224, 224)
    ids = torch.randint(1, 49406, (batch, NUM_TOKENS))
    image = [seconds(model.get_image_features, pixels) for model in models]
    text = [seconds(model.get_text_features, ids) for model in models]
    torch.set_num_threads(threads)
    for what, (packed, dense) in (("images", image), (f"texts of {NUM_TOKENS} tokens", text)):
        print(
            f"\n{batch} {what}: packed {1000 * packed:.0f} ms, dense {1000 * dense:.0f} ms, "
            f"{packed / dense:.2f} times"
        )


@torch.no_grad()
def seconds(call: Callable[[torch.Tensor], Any], inputs: torch.Tensor, repeats: int = 3) -> float:
    """The least processor time of a few calls."""
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        call(inputs)
        taken.append(time.process_time() - began)
    return min(taken)
