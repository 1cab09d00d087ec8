"""A process that never imports tclip loads what was written for it, and answers as the packed model."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tclip.export.formats import FORMATS
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.ternary.activations import quantize_activations
from tests.ternarizing import ternarized

TEXTS = ["a", "a red dog", "two cats on a small table", "the sea at night"]

# What a user without tclip would write. Nothing of the checkout is on sys.path (-I).
PROGRAM = """
import json, sys
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor

folders, pictures, texts, out = json.loads(sys.argv[1])
answers = {}
for name, folder in folders.items():
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    images = [Image.open(path).convert("RGB") for path in pictures]
    pixels = processor.image_processor(images=images, return_tensors="pt")
    ids = processor.tokenizer(texts, padding=True, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        image_BE = model.get_image_features(pixels["pixel_values"].to(model.dtype)).pooler_output
        text_BE = model.get_text_features(ids).pooler_output
    answers[name] = {
        "images": image_BE.float().tolist(),
        "texts": text_BE.float().tolist(),
        "dtype": str(model.dtype),
        "class": type(model).__name__,
        "layer": type(model.text_projection).__name__,
    }
assert "tclip" not in sys.modules, sorted(name for name in sys.modules if "tclip" in name)
json.dump(answers, open(out, "w"))
"""


@pytest.fixture(scope="module")
def clip(tiny_folder: Callable[[str], Path]) -> Clip:
    """One scale a weight and int8 activations, so that it has every format."""
    clip = ternarized(load_dense(str(tiny_folder("clip"))), "tensor")
    clip.activations = "int8"
    return clip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for index in range(4):
        picture = Image.fromarray(random.integers(0, 256, (30 + 9 * index, 44, 3), dtype=np.uint8))
        picture.save(folder / f"{index}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def answers(
    clip: Clip, pictures: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What each format answers in one process of stock transformers."""
    folder = tmp_path_factory.mktemp("stock")
    missing = {"compressed"} if importlib.util.find_spec("compressed_tensors") is None else set()
    names = FORMATS.keys() - missing
    for name in names:
        FORMATS[name].export(clip, folder / name)
    task = [
        {name: str(folder / name) for name in names},
        list(map(str, pictures)),
        TEXTS,
        str(folder / "out.json"),
    ]
    # BitNet's rounding is compiled where a compiler is found, which takes longer than all else here
    environment = os.environ | {"TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-I", "-c", PROGRAM, json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out.json").read_text())


def answers_of(clip: Clip, pictures: list[Path]) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        image_BE = clip.embed_images(clip.preprocess([Image.open(path) for path in pictures]))
        return image_BE, clip.embed_texts(clip.tokenize(TEXTS))


@pytest.mark.parametrize(
    ("name", "dtype", "layer", "least"),
    [
        ("dense", "torch.bfloat16", "Linear", 0.9995),
        ("compressed", "torch.float32", "Linear", 1 - 1e-5),
        ("bitnet", "torch.bfloat16", "AutoBitLinear", 0.998),
    ],
)
def test_stock_transformers_answers_as_the_packed_model(
    name: str,
    dtype: str,
    layer: str,
    least: float,
    clip: Clip,
    pictures: list[Path],
    answers: dict[str, dict[str, Any]],
) -> None:
    if name not in answers:
        pytest.skip("needs the extra: pip install 'tclip[compressed]'")
    found = answers[name]
    assert (found["class"], found["dtype"], found["layer"]) == ("CLIPModel", dtype, layer)
    hooks = quantize_activations(clip.model, clip.ternary) if name == "bitnet" else []
    expected = answers_of(clip, pictures)
    for hook in hooks:
        hook.remove()
    for what, embedding_BE in zip(("images", "texts"), expected, strict=True):
        cosine_B = torch.nn.functional.cosine_similarity(torch.tensor(found[what]), embedding_BE)
        assert cosine_B.min() > least, (what, cosine_B)
