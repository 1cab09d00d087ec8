"""A process that never imports tclip loads what was written for it, and answers as the packed model."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tclip.data.eval_sets import open_eval
from tclip.evaluate.encoder import ClipEncoder
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
    return run_stock({name: folder / name for name in names}, pictures, TEXTS, folder)


def run_stock(
    folders: dict[str, Path], pictures: list[Path], texts: list[str], place: Path
) -> dict[str, dict[str, Any]]:
    """What a process of stock transformers answers with each folder; it works in `place`."""
    names = {name: str(folder) for name, folder in folders.items()}
    task = [names, list(map(str, pictures)), texts, str(place / "out.json")]
    # BitNet's rounding is compiled where a compiler is found, which takes longer than all else here
    environment = os.environ | {"TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-I", "-c", PROGRAM, json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=place)
    assert done.returncode == 0, done.stderr
    return json.loads((place / "out.json").read_text())


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


@pytest.mark.shared
def test_a_hundred_photographs_get_the_labels_of_the_packed_model(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors", reason="needs the extra: pip install 'tclip[compressed]'")
    clip = ternarized(load_dense(str(shared / "models" / "ref-clip")))
    photographs = open_eval(str(shared / "data" / "clothing"), "test")
    pictures = []
    for index, sample in enumerate(islice(photographs, 100)):
        pictures.append(tmp_path / f"{index:02}.png")
        sample.image().save(pictures[-1])
    texts = [photographs.prompts(index)[0] for index in range(len(photographs.classnames))]
    FORMATS["compressed"].export(clip, tmp_path / "compressed")
    found = run_stock({"compressed": tmp_path / "compressed"}, pictures, texts, tmp_path)["compressed"]
    image_BE, text_LE = (
        torch.nn.functional.normalize(torch.tensor(found[what])) for what in ("images", "texts")
    )
    encoder = ClipEncoder(clip)
    expected_BL = encoder.embed_images([Image.open(path) for path in pictures]) @ encoder.embed_texts(texts).T
    assert len(set(expected_BL.argmax(1).tolist())) > 1
    assert torch.equal((image_BE @ text_LE.T).argmax(1), expected_BL.argmax(1))
