"""What the page must know of a model, as JSON: model.json, written beside the files that it names.

The page resizes pictures and cuts texts itself, so it is told every step; what it does not have is refused by
name before anything is written.
"""

from pathlib import Path, PurePath
from typing import Any

from tclip.errors import ModelError
from tclip.export.onnx import IMAGE_FILE, TEXT_FILE
from tclip.models.clip import Clip
from tclip.runtime.images import ImageReader, image_reader

DOCUMENT_VERSION = 1
# whose text towers need token ids alone, and whose image towers take whole pictures
FAMILIES = ("clip", "siglip", "metaclip_2")
# PIL's numbers of the filters that the page has
FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}
# The page reads these first and compares: texts read otherwise would rank wrongly, and nobody would notice.
PROBES = (
    "",
    "a photo of a cat",
    "Ünïcödé Straße ΟΔΟΣ İ",
    "l'été, ça va? it's 12:30!",
    "猫と犬 图片 한국어",
    "🐈 👨‍👩‍👧‍👦 🏳️‍🌈",
    "  two\tspaces\nand lines ",
    "नमस्ते مرحبا שלום",
    " ".join(["word"] * 90),
)


def check_family(clip: Clip) -> None:
    """Refuse a model that the page cannot run.

    Raises:
        ModelError: naming its family.
    """
    if clip.model.config.model_type not in FAMILIES:
        raise ModelError(
            f"{clip.source.id} is a {clip.family.title}, which the page cannot run: it runs CLIP, SigLIP and "
            "MetaCLIP 2. Use its ONNX files in your own program (`tclip export onnx`)."
        )


def image_steps(clip: Clip, folder: Path) -> dict[str, Any]:
    """Return how the page makes the image encoder's pixels, from FOLDER/preprocessor_config.json.

    Raises:
        ModelError: it asks for a step or a filter that the page does not have.
    """
    reader = image_reader(folder, int(clip.model.config.vision_config.image_size))
    if reader.resize is not None and reader.resample not in FILTERS:
        raise ModelError(
            f"{clip.source.id} resizes pictures by PIL's filter {reader.resample}, which the page does not "
            f"have: it has {', '.join(f'{name} ({number})' for number, name in FILTERS.items())}."
        )
    return {
        "size": _size(reader),
        "resize": reader.resize,
        "filter": FILTERS.get(reader.resample),
        "crop": reader.crop,
    }


def text_steps(clip: Clip) -> dict[str, Any]:
    """Return how the page makes the text encoder's ids, and some texts with theirs to compare."""
    tokenizer = clip.tokenizer
    return {
        "max_tokens": clip.max_tokens,
        "pad_to": clip.max_tokens if clip.family.pads_to_maximum else None,
        "pad_id": tokenizer.pad_token_id,
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
        "probes": [{"text": text, "ids": clip.tokenize([text])["input_ids"][0].tolist()} for text in PROBES],
    }


def document(clip: Clip, folder: Path, sizes: dict[str, int]) -> dict[str, Any]:
    """Return model.json.

    Args:
        clip: what was exported.
        folder: with its preprocessor_config.json.
        sizes: bytes of the files that the page loads, by path relative to it.
    """
    bias = getattr(clip.model, "logit_bias", None)
    return {
        "version": DOCUMENT_VERSION,
        "name": PurePath((clip.base or clip.source).id).name,
        "family": clip.family.title,
        "image_encoder": IMAGE_FILE,
        "text_encoder": TEXT_FILE,
        "image": image_steps(clip, folder),
        "text": text_steps(clip),
        "logit_scale": float(clip.model.logit_scale.detach().exp()),
        "logit_bias": None if bias is None else float(bias.detach()),
        "bytes": sizes,
    }


def _size(reader: ImageReader) -> tuple[int, int]:
    made = reader.crop or reader.resize
    assert isinstance(made, tuple)  # image_reader has compared it with the image tower's
    return made
