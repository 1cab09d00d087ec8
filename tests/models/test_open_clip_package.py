"""The open_clip package itself as the reference: the same folder, read by it and by tclip.

    pip install open_clip_torch torchvision     # torchvision of torch's version

The layers are cut to two where the config counts them, the widths and all else are the real ones.
"""

import gzip
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tests import tiny_tokenizers
from tests.models.open_clip_reference import SIGLIP_PIXELS, WEIGHTS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    open_clip = pytest.importorskip(
        "open_clip", reason="needs the packages open_clip_torch, timm and torchvision", exc_type=ImportError
    )
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CUT = {"vision_cfg.layers": 2, "text_cfg.layers": 2}
WORDS = {"text_cfg.layers": 2, "text_cfg.vocab_size": 900}
CLIPS = (
    "ViT-B-32",  # LAION, DataComp
    "ViT-B-32-quickgelu",  # OpenAI, MetaCLIP
    "ViT-B-32-256",  # DataComp
    "ViT-B-16",
    "ViT-B-16-quickgelu",  # DFN
    "ViT-B-16-plus-240",
    "ViT-L-14",
    "ViT-H-14-378-quickgelu",  # DFN
    "ViT-bigG-14",
)
SIGLIPS = ("ViT-B-16-SigLIP", "ViT-B-16-SigLIP2", "ViT-B-32-SigLIP2-256")
TEXTS = [
    "a photo of a cat",
    "Two RED   dogs, one_ball & the woman's 3 houses!",
    "Crème brûlée à la façon de Zoë",
    "一只猫在房子里",
    "🐈 on a 🛹",
    "",
    "one big red cat sits on the tree and " * 20,
]


def clip_tokenizer_files(folder: Path) -> None:
    """CLIP's real vocabulary, from the merges that open_clip brings along."""
    path = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    merges = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")[1 : 49152 - 256 - 2 + 1]
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    tokens += ["".join(merge.split()) for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]), encoding="utf-8")


def write_folder(
    folder: Path, name: str, changes: dict[str, Any], pixels: dict[str, Any], tokenizer: Any = None
) -> None:
    """Random weights of a config of open_clip, saved as open_clip pushes them to the Hub."""
    config = open_clip.get_model_config(name)
    for option, value in changes.items():
        section, _, key = option.rpartition(".")
        (config[section] if section else config)[key] = value
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": pixels}))
    if tokenizer is None:
        clip_tokenizer_files(folder)
    else:
        tokenizer.save_pretrained(folder)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim < 2:
                weight.add_(torch.randn(weight.shape) * 0.1)  # biases are 0 at first
    save_file({name: x.contiguous() for name, x in model.state_dict().items()}, folder / WEIGHTS)


def opened(folder: Path) -> tuple[Any, Callable[[Image.Image], Tensor], Callable[[list[str]], Tensor]]:
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    return model.eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{folder}")


def pictures(*sizes: tuple[int, int]) -> list[Image.Image]:
    generator = np.random.default_rng(0)
    made = []
    for width, height in sizes:
        coarse = generator.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
        made.append(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return made


def worst(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max())


def same_ids(clip: Clip, theirs: Tensor) -> Tensor:
    """Compare token ids up to the end of each text; return ours."""
    ours = clip.tokenize(TEXTS)["input_ids"]
    if clip.family.pads_to_maximum:
        assert torch.equal(ours, theirs)
    for mine, other in zip(ours, theirs, strict=True):
        end = (
            int((other == other.max()).int().argmax()) if not clip.family.pads_to_maximum else len(other) - 1
        )
        assert mine[: end + 1].tolist() == other[: end + 1].tolist()
    return ours


@torch.no_grad()
def compare(folder: Path, record: Callable[[str, object], None]) -> None:
    """Assert that both give the same pixels, ids, embeddings and logits; record the worst differences."""
    model, preprocess, tokenize = opened(folder)
    clip = load_dense(str(folder))
    images = pictures((640, 480), (333, 500), (500, 500), (224, 224))
    their_pixels, their_ids = torch.stack([preprocess(image) for image in images]), tokenize(TEXTS)
    ids = same_ids(clip, their_ids)
    their_image, their_text = (
        nn.functional.normalize(x, dim=-1)
        for x in (model.encode_image(their_pixels), model.encode_text(their_ids))
    )
    inputs = clip.preprocess(images)
    ours, text = clip.embed_images({"pixel_values": their_pixels}), clip.embed_texts({"input_ids": ids})
    logits = model.logit_scale.exp() * their_image @ their_text.T
    logits = logits if model.logit_bias is None else logits + model.logit_bias
    found = {
        "pixels": worst(inputs["pixel_values"], their_pixels),
        "image": worst(ours, their_image),
        "image, from the picture": worst(clip.embed_images(inputs), their_image),
        "text": worst(text, their_text),
        "logits": worst(clip.logits(ours, text), logits),
    }
    for what, difference in found.items():
        record(what, difference)
    assert worst(their_image[0], their_image[1]) > 1e-3  # pictures and texts are told apart
    assert worst(their_text[0], their_text[1]) > 1e-3
    assert found.pop("logits") < 1e-5
    assert max(found.values()) < 1e-6, found


@pytest.mark.parametrize("name", CLIPS)
def test_clip(tmp_path: Path, name: str, record_property: Callable[[str, object], None]) -> None:
    write_folder(tmp_path, name, CUT, {})
    compare(tmp_path, record_property)


@pytest.mark.parametrize("name", SIGLIPS)
def test_siglip(tmp_path: Path, name: str, record_property: Callable[[str, object], None]) -> None:
    tokenizer = tiny_tokenizers.siglip_tokenizer(64)
    write_folder(tmp_path, name, WORDS, SIGLIP_PIXELS, tokenizer)
    compare(tmp_path, record_property)


def test_metaclip_2(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    tokenizer = tiny_tokenizers.xlm_roberta_tokenizer(77)
    changes = {**CUT, "text_cfg.vocab_size": 900}
    write_folder(tmp_path, "ViT-H-14-worldwide-quickgelu", changes, {}, tokenizer)
    compare(tmp_path, record_property)


SMALL = {
    **CUT,
    "vision_cfg.width": 64,
    "text_cfg.width": 64,
    "text_cfg.heads": 1,
    "text_cfg.vocab_size": 49408,
}


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
def test_pixels(
    tmp_path: Path, mode: str, interpolation: str, record_property: Callable[[str, object], None]
) -> None:
    pixels = {"resize_mode": mode, "interpolation": interpolation, "mean": [0.4] * 3, "std": [0.3] * 3}
    write_folder(tmp_path, "ViT-B-32", SMALL, pixels)
    _, preprocess, _ = opened(tmp_path)
    clip = load_dense(str(tmp_path))
    for image in pictures((640, 480), (480, 640), (448, 896), (300, 300), (160, 120)):
        ours = clip.preprocess([image])["pixel_values"][0]
        difference = worst(ours, preprocess(image))
        record_property(str(image.size), difference)
        assert difference < 1e-6, image.size


def test_a_crop_between_two_pixels_may_lie_one_aside(tmp_path: Path) -> None:
    """Where 1.5, 3.5, ... pixels are to go from each side, torchvision rounds up and transformers down."""
    write_folder(tmp_path, "ViT-B-32", SMALL, {})
    _, preprocess, _ = opened(tmp_path)
    clip = load_dense(str(tmp_path))
    for surplus, aside in ((1, 0), (2, 0), (3, 1), (4, 0), (5, 0), (7, 1)):
        (image,) = pictures((224 + surplus, 224))
        ours, theirs = clip.preprocess([image])["pixel_values"][0], preprocess(image)
        assert worst(ours[:, :, aside:], theirs[:, :, : 224 - aside]) < 1e-6


def test_what_is_not_mended_in_texts(tmp_path: Path) -> None:
    """The differences that the page docs/open_clip.md tells of, and no others of these."""
    write_folder(tmp_path, "ViT-B-32", SMALL, {})
    _, _, tokenize = opened(tmp_path)
    clip = load_dense(str(tmp_path))
    texts = {"cats &amp; dogs": False, "crÃ¨me": False, "cats & dogs": True, "crème": True}
    for text, same in texts.items():
        ours = clip.tokenize([text])["input_ids"][0].tolist()
        assert (ours == tokenize([text])[0][: len(ours)].tolist()) == same, text
