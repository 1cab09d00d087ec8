"""What a user calls a model: an alias, a Hub id or a local folder."""

import re
from dataclasses import dataclass
from pathlib import Path

from tclip.errors import ModelError, did_you_mean, no_text
from tclip.recipe.local import whole_model

ALIASES: dict[str, str] = {
    "openai/clip-vit-b-32": "openai/clip-vit-base-patch32",
    "openai/clip-vit-b-16": "openai/clip-vit-base-patch16",
    "openai/clip-vit-l-14": "openai/clip-vit-large-patch14",
    "openai/clip-vit-l-14-336": "openai/clip-vit-large-patch14-336",
    "ViT-B-32": "openai/clip-vit-base-patch32",
    "ViT-B-16": "openai/clip-vit-base-patch16",
    "ViT-L-14": "openai/clip-vit-large-patch14",
    "ViT-L-14-336": "openai/clip-vit-large-patch14-336",
    "SigLIP-B-16": "google/siglip-base-patch16-224",
    "SigLIP2-B-16": "google/siglip2-base-patch16-224",
    "MetaCLIP2-B-32": "facebook/metaclip-2-worldwide-b32",
    "Chinese-CLIP-B-16": "OFA-Sys/chinese-clip-vit-base-patch16",
    "AltCLIP": "BAAI/AltCLIP",
}
_OPEN_CLIP_HUB = "hf-hub:"  # what open_clip writes before a Hub id
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_ADDRESS = re.compile(r"(?:https?://[^/]+/|hf://)(?:models/)?([^/?#]+/[^/?#]+).*", re.ASCII)


@dataclass(frozen=True)
class ModelName:
    """A name resolved: exactly one of `folder` and `hub_id` is set."""

    given: str
    folder: Path | None = None
    hub_id: str | None = None


def resolve_name(given: str) -> ModelName:
    """Say what a name means: an existing folder first, then an alias (case does not matter), then a Hub id.

    open_clip's "hf-hub:" in front of an id changes nothing.

    Raises:
        ModelError: it is none of them; the message suggests the nearest alias or sibling folder. Or it is a
            folder whose path is not UTF-8.
    """
    given = given.removeprefix(_OPEN_CLIP_HUB)
    folder = Path(given).expanduser()
    if given and folder.is_dir():
        if problem := no_text(folder):
            raise ModelError(problem)
        return ModelName(given, folder=folder)
    alias = _BY_PLAIN_NAME.get(_plain(given))
    if alias:
        return ModelName(given, hub_id=alias)
    if _HUB_ID.fullmatch(given) and not given.startswith((".", "~")):
        return ModelName(given, hub_id=given)
    raise ModelError(_not_a_model(given, folder))


def suggestion(given: str) -> str:
    """Return ' Did you mean "..."?' with the nearest sibling folder, alias or known id, or ''."""
    beside = did_you_mean(given, _siblings(Path(given).expanduser()))
    return beside or did_you_mean(given, {*ALIASES, *ALIASES.values()} - {given})


def _plain(name: str) -> str:
    return name.lower().replace("/", "-").replace("_", "-")


_BY_PLAIN_NAME = {_plain(alias): model_id for alias, model_id in ALIASES.items()}


def _siblings(folder: Path) -> list[str]:
    """Name the folders beside a path that does not exist, as the user would write them."""
    if not folder.parent.is_dir() or len(folder.parts) < 2:
        return []
    return [str(entry) for entry in folder.parent.iterdir() if entry.is_dir()]


def _not_a_model(given: str, folder: Path) -> str:
    if folder.is_file():
        return whole_model(given)
    address = _ADDRESS.fullmatch(given)
    if address:
        return f"{given} is an address: give the Hub id alone, {address[1]}."
    if given.startswith((".", "~", "/")) or given.count("/") > 1:
        return f"There is no model folder {given}.{suggestion(given)}"
    return (
        f'"{given}" is neither a folder, nor a Hub id (owner/name), nor an alias.{suggestion(given)} '
        f"Aliases: {', '.join(ALIASES)}."
    )
