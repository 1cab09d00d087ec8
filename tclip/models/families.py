"""The families of dual encoders that tclip handles, and what differs between them."""

from dataclasses import dataclass
from typing import Any

from tclip.errors import ModelError, did_you_mean


@dataclass(frozen=True)
class Family:
    """What one family of `transformers` needs beside the common interface.

    Attributes:
        title: the name its users know.
        model_class: the class of `transformers` that holds both towers.
        pads_to_maximum: texts are padded to the full context, because the last position is pooled.
        text_mask: the text tower is given an attention mask (causal towers that pool at the end of
            the text do not need one).
        patches_images: the image processor cuts patches itself and needs its own normalisation.
    """

    title: str
    model_class: str
    pads_to_maximum: bool = False
    text_mask: bool = False
    patches_images: bool = False


FAMILIES: dict[str, Family] = {
    "clip": Family("CLIP", "CLIPModel"),
    "siglip": Family("SigLIP", "SiglipModel", pads_to_maximum=True),
    "siglip2": Family("SigLIP 2", "Siglip2Model", pads_to_maximum=True, patches_images=True),
    "chinese_clip": Family("Chinese-CLIP", "ChineseCLIPModel", text_mask=True),
    "altclip": Family("AltCLIP", "AltCLIPModel", text_mask=True),
    "metaclip_2": Family("MetaCLIP 2", "MetaClip2Model"),
    "vision-text-dual-encoder": Family("VisionTextDualEncoder", "VisionTextDualEncoderModel", text_mask=True),
}


def family_of(config: dict[str, Any], where: str) -> Family:
    """Return the family that a config.json names.

    Args:
        config: the parsed config.json.
        where: the model's name, for the message.

    Raises:
        ModelError: the architecture is not a supported dual encoder, or only a part of one.
    """
    model_type = str(config.get("model_type", ""))
    family = FAMILIES.get(model_type)
    if family is None:
        found = f'has the architecture "{model_type}"' if model_type else "names no model_type in config.json"
        raise ModelError(
            f"{where} {found}, which tclip cannot compress.{did_you_mean(model_type, FAMILIES)} "
            f"Give one of the dual encoders it supports: {_supported()}."
        )
    named = config.get("architectures") or [family.model_class]
    classes = named if isinstance(named, list) else [named]
    if family.model_class not in classes:
        raise ModelError(
            f"{where} is a {', '.join(map(str, classes))}, not the {family.model_class} with both towers: "
            f"give the {family.title} that it was taken from."
        )
    return family


def _supported() -> str:
    return ", ".join(f"{family.title} ({key})" for key, family in FAMILIES.items())
