"""The families of dual encoders that tclip handles, and what differs between them."""

from dataclasses import dataclass
from typing import Any

from tclip.errors import ModelError, did_you_mean


@dataclass(frozen=True)
class Family:
    """What one family of `transformers` needs beside the common interface.

    Attributes:
        title: the name its users know.
        pads_to_maximum: texts are padded to the full context, because the last position is pooled.
        text_mask: the text tower is given an attention mask (causal towers that pool at the end of
            the text do not need one).
    """

    title: str
    pads_to_maximum: bool = False
    text_mask: bool = True


FAMILIES: dict[str, Family] = {
    "clip": Family("CLIP", text_mask=False),
    "siglip": Family("SigLIP", pads_to_maximum=True, text_mask=False),
    "siglip2": Family("SigLIP 2", pads_to_maximum=True, text_mask=False),
    "chinese_clip": Family("Chinese-CLIP"),
    "altclip": Family("AltCLIP"),
    "metaclip_2": Family("MetaCLIP 2", text_mask=False),
    "vision-text-dual-encoder": Family("VisionTextDualEncoder"),
}


def family_of(config: dict[str, Any], where: str) -> Family:
    """Return the family that a config.json names.

    Args:
        config: the parsed config.json.
        where: the model's name, for the message.

    Raises:
        ModelError: the architecture is not a supported dual encoder.
    """
    model_type = str(config.get("model_type", ""))
    if model_type in FAMILIES:
        return FAMILIES[model_type]
    known = ", ".join(f"{family.title} ({key})" for key, family in FAMILIES.items())
    found = f'has the architecture "{model_type}"' if model_type else "names no model_type in its config.json"
    raise ModelError(
        f"{where} {found}, which tclip cannot compress."
        f"{did_you_mean(model_type, FAMILIES)} Supported: {known}."
    )
