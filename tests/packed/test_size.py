"""Bytes are those of real files, and a ViT-B/32 is as small as was promised."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.packed.size import measure
from tclip.packed.write import write_packed
from tests.sized import PATCH_SIZES, sized_clip


def test_the_parts_are_those_of_the_file(packed: Path, ternary_clip: Clip) -> None:
    size, stored = measure(packed), load_file(packed / "model.safetensors")
    assert size.model_bytes == (packed / "model.safetensors").stat().st_size
    assert size.folder_bytes == sum(path.stat().st_size for path in packed.iterdir())
    assert size.code_bytes + size.scale_bytes + size.float_bytes == sum(x.nbytes for x in stored.values())
    assert size.num_weights == sum(p.numel() for p in ternary_clip.model.parameters())
    assert size.num_ternary == sum(tensor.codes.numel() for tensor in ternary_clip.ternary.values())
    assert size.num_zeros == sum(int((t.codes == 0).sum()) for t in ternary_clip.ternary.values())
    assert size.code_bytes == sum(math.ceil(t.codes.numel() / 5) for t in ternary_clip.ternary.values())
    assert size.bits == 8 * (size.code_bytes + size.scale_bytes) / size.num_ternary


@torch.no_grad()
def test_a_vit_b_32_takes_31_6_mb_at_most(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    write_packed(sized_clip(load_dense(str(tiny_folder("clip"))), PATCH_SIZES["b32"]), tmp_path / "b32")
    size = measure(tmp_path / "b32")
    assert size.num_weights == 151_277_313
    assert size.float32_bytes / size.model_bytes > 19.1
    assert (tmp_path / "b32" / "model.safetensors").stat().st_size <= 31_600_000
    assert size.ternary_share > 0.99
    assert size.bits < 1.63
