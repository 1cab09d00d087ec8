"""Tiny models of every supported family: random weights, a real small tokenizer, an image processor."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from tests import tiny_tokenizers

IMAGE_SIZE = 32
PATCH_SIZE = 8
MAX_TOKENS = 20
# "vision-text-dual-encoder" is the ViT + BERT one
FAMILY_NAMES = (
    "clip",
    "siglip",
    "siglip2",
    "chinese_clip",
    "altclip",
    "metaclip_2",
    "vision-text-dual-encoder",
)
_TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
_VISION = {**_TOWER, "image_size": IMAGE_SIZE, "patch_size": PATCH_SIZE}


def tiny_clip_folder(folder: Path, family: str = "clip", seed: int = 0) -> Path:
    """Write a tiny model of a family into `folder`, in the layout of the Hub, and return the folder.

    The towers are 32 wide with two layers, embeddings have 24 numbers (SigLIP: 32), images 32 x 32
    pixels in patches of 8 x 8, texts up to 20 tokens.

    Args:
        folder: made if need be.
        family: one of FAMILY_NAMES.
        seed: of the random weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer, model, image_processor = _BUILDERS[family]()
        _scatter(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    image_processor.save_pretrained(folder)
    hub_class = {"siglip": "SiglipTokenizer", "siglip2": "GemmaTokenizer"}.get(family)
    if hub_class:
        # what the Hub's own folders say, which transformers maps to something else
        edit_json(folder / "tokenizer_config.json", tokenizer_class=hub_class)
    return folder


def edit_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON object in a file; None removes a key."""
    document = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    kept = {key: value for key, value in document.items() if value is not None}
    path.write_text(json.dumps(kept, indent=2), encoding="utf-8")


def _scatter(model: torch.nn.Module) -> None:
    """Move weights away from their initial values, so that biases are not 0 and texts differ."""
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.1 if parameter.ndim > 1 else 0.02
            parameter.add_(torch.randn(parameter.shape) * spread)


def _clip() -> tuple[Any, Any, Any]:
    tokenizer = tiny_tokenizers.clip_tokenizer(MAX_TOKENS)
    text = {**_TOWER, **_text_ids(tokenizer), "projection_dim": 24}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**_VISION, "projection_dim": 24}, projection_dim=24
    )
    return tokenizer, transformers.CLIPModel(config), _cropping(CLIPImageProcessorPil)


def _siglip() -> tuple[Any, Any, Any]:
    tokenizer = tiny_tokenizers.siglip_tokenizer(MAX_TOKENS)
    config = transformers.SiglipConfig(
        text_config={**_TOWER, **_text_ids(tokenizer), "projection_size": 32}, vision_config=_VISION
    )
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return tokenizer, transformers.SiglipModel(config), SiglipImageProcessorPil(size=size)


def _siglip2() -> tuple[Any, Any, Any]:
    tokenizer = tiny_tokenizers.siglip2_tokenizer(MAX_TOKENS)
    config = transformers.Siglip2Config(
        text_config={**_TOWER, **_text_ids(tokenizer), "projection_size": 32},
        vision_config={**_TOWER, "patch_size": PATCH_SIZE, "num_patches": 16},
    )
    processor = Siglip2ImageProcessorPil(patch_size=PATCH_SIZE, max_num_patches=16)
    return tokenizer, transformers.Siglip2Model(config), processor


def _chinese_clip() -> tuple[Any, Any, Any]:
    tokenizer = tiny_tokenizers.bert_tokenizer(MAX_TOKENS)
    config = transformers.ChineseCLIPConfig(
        text_config={**_TOWER, **_text_ids(tokenizer)}, vision_config=_VISION, projection_dim=24
    )
    return tokenizer, transformers.ChineseCLIPModel(config), _cropping(ChineseCLIPImageProcessorPil)


def _altclip() -> tuple[Any, Any, Any]:
    tokenizer = tiny_tokenizers.xlm_roberta_tokenizer(MAX_TOKENS)
    text = {**_TOWER, **_text_ids(tokenizer), "project_dim": 28}
    text["max_position_embeddings"] = MAX_TOKENS + 2  # RoBERTa's positions begin behind the padding id, 1
    config = transformers.AltCLIPConfig(text_config=text, vision_config=_VISION, projection_dim=24)
    return tokenizer, transformers.AltCLIPModel(config), _cropping(CLIPImageProcessorPil)


def _metaclip_2() -> tuple[Any, Any, Any]:
    tokenizer = tiny_tokenizers.xlm_roberta_tokenizer(MAX_TOKENS)
    text = {**_TOWER, **_text_ids(tokenizer), "projection_dim": 24}
    config = transformers.MetaClip2Config(
        text_config=text, vision_config={**_VISION, "projection_dim": 24}, projection_dim=24
    )
    return tokenizer, transformers.MetaClip2Model(config), _cropping(CLIPImageProcessorPil)


def _vit_bert() -> tuple[Any, Any, Any]:
    tokenizer = tiny_tokenizers.bert_tokenizer(MAX_TOKENS)
    config = transformers.VisionTextDualEncoderConfig.from_vision_text_configs(
        transformers.ViTConfig(**_VISION),
        transformers.BertConfig(**_TOWER, **_text_ids(tokenizer)),
        projection_dim=24,
    )
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return tokenizer, transformers.VisionTextDualEncoderModel(config), ViTImageProcessorPil(size=size)


def _text_ids(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": MAX_TOKENS,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _cropping(processor_class: Any) -> Any:
    crop = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return processor_class(size={"shortest_edge": IMAGE_SIZE}, crop_size=crop)


_BUILDERS: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
    "clip": _clip,
    "siglip": _siglip,
    "siglip2": _siglip2,
    "chinese_clip": _chinese_clip,
    "altclip": _altclip,
    "metaclip_2": _metaclip_2,
    "vision-text-dual-encoder": _vit_bert,
}
