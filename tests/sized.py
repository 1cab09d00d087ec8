"""A ternary CLIP of a public model's sizes with random weights: bytes and speed do not depend on them.

For measurements: python -m tests.sized b32 PACKED_FOLDER --like ANY_CLIP
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel

from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.models.sites import find_sites, plan_ternarization
from tclip.packed.write import write_packed
from tclip.recipe.quantize import Quantize
from tclip.ternary.tensor import TernaryTensor

PATCH_SIZES = {"b32": 32, "b16": 16}
_TEXT = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "vocab_size": 49408}


def sized_clip(like: Clip, patch_size: int, seed: int = 0) -> Clip:
    """Return a CLIP of the sizes of openai/clip-vit-base-patch32 or -patch16, preset `all`, a scale a row.

    Its dense ternary weights are not set: only codes and scales are, which is what is packed.

    Args:
        like: whose tokenizer and image processor it takes; pictures are made 224 x 224.
        patch_size: 32 or 16.
        seed: of the random weights.
    """
    vision = {"hidden_size": 768, "intermediate_size": 3072, "patch_size": patch_size, "image_size": 224}
    with torch.device("meta"):
        model = CLIPModel(CLIPConfig(vision_config=vision, text_config=_TEXT, projection_dim=512))
    random = torch.Generator().manual_seed(seed)
    ternary = {}
    for name in plan_ternarization(find_sites(model), Quantize()).ternary_names:
        shape = model.get_parameter(name).shape
        codes = torch.randint(-1, 2, shape, generator=random, dtype=torch.int8)
        scale_RG = (torch.rand(shape[0], 1, generator=random) + 0.5) * shape[1:].numel() ** -0.5
        ternary[name] = TernaryTensor(codes, scale_RG)
    model = model.to_empty(device="cpu")
    for name, tensor in model.state_dict().items():
        if name not in ternary:
            tensor.copy_(torch.randn(tensor.shape, generator=random) * 0.02 + name.endswith("norm.weight"))
    like.image_processor.size = {"shortest_edge": 224}
    like.image_processor.crop_size = {"height": 224, "width": 224}
    return replace(like, model=model, ternary=ternary, activations="int8")


def main() -> None:
    """Write one as a packed folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", choices=PATCH_SIZES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--like", required=True, help="whose tokenizer to take")
    given = parser.parse_args()
    with torch.no_grad():
        write_packed(sized_clip(load_dense(given.like), PATCH_SIZES[given.size]), given.folder)


if __name__ == "__main__":
    main()
