"""Bringing a model's files to this machine: from the Hub (or its cache), or from a folder."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tclip.errors import ModelError
from tclip.models.families import family_of
from tclip.models.hub import cached_model, download_config, download_model
from tclip.models.names import resolve_name
from tclip.models.source import ModelSource
from tclip.models.weights import missing_weights, weight_bytes


@dataclass(frozen=True)
class ModelFiles:
    """A model's folder on this machine.

    Attributes:
        folder: holds config.json and, once fetched whole, weights, tokenizer and preprocessor.
        config: the parsed config.json.
        source: where it came from.
    """

    folder: Path
    config: dict[str, Any]
    source: ModelSource

    @property
    def is_packed(self) -> bool:
        """Whether the folder holds a ternary model that tclip packed."""
        quantization = self.config.get("quantization_config")
        return isinstance(quantization, dict) and quantization.get("quant_method") == "tclip"


def fetch_config(spec: str, revision: str | None = None) -> ModelFiles:
    """Bring only config.json and check the architecture, before anything large is downloaded.

    Args:
        spec: Hub id, alias or local folder.
        revision: branch, tag or commit on the Hub.

    Raises:
        ModelError: no such model, no permission, no network, or an architecture that is not supported.
    """
    name = resolve_name(spec)
    if name.folder:
        if revision:
            raise ModelError(f"{spec} is a local folder and has no revisions: leave out revision {revision}.")
        folder, source = name.folder, ModelSource(str(name.folder), None, "")
    else:
        folder = download_config(name, revision)
        source = ModelSource(str(name.hub_id), revision, folder.name)
    config = _read_config(folder, spec)
    family_of(config, spec)
    return ModelFiles(folder, config, source)


def fetch(spec: str, revision: str | None = None) -> ModelFiles:
    """Bring a whole model: config first, then weights (safetensors only), tokenizer and preprocessor.

    The source's commit of a folder is a hash of its files.

    Raises:
        ModelError: as fetch_config; or the model has no safetensors weights, or not all of them.
    """
    files = fetch_config(spec, revision)
    name = resolve_name(spec)
    if name.folder:
        _check_weights(files.folder, spec)
        return replace(files, source=replace(files.source, commit=_hash_folder(files.folder)))
    folder = download_model(name, files.source.commit, revision)
    _check_weights(folder, spec)
    return replace(files, folder=folder)


def local_weight_bytes(spec: str, revision: str | None = None) -> int | None:
    """Return the size of a model's weight files where it lies whole on this machine, else None.

    The Hub is not asked.
    """
    try:
        name = resolve_name(spec)
    except ModelError:  # a folder that was moved, or was never on this machine
        return None
    folder = name.folder or cached_model(name, revision)
    return weight_bytes(folder) if folder and not missing_weights(folder) else None


def _read_config(folder: Path, spec: str) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{spec} has no config.json: {_models_inside(folder)}.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}): fetch the model again.") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} does not hold a JSON object: fetch the model again.")
    return config


def _models_inside(folder: Path) -> str:
    inside = sorted(str(path.parent) for path in folder.glob("*/config.json"))
    if inside:
        return f"the folder is no model but holds some, give {' or '.join(inside)}"
    return "give a folder in the Hugging Face layout (config.json, model.safetensors, tokenizer files)"


def _check_weights(folder: Path, spec: str) -> None:
    missing = missing_weights(folder)
    if not missing:
        return
    if any(folder.glob("*.bin")):
        raise ModelError(
            f"{spec} has only pickled weights (.bin), which can run code when they are read: convert "
            "them once where you trust them, with AutoModel.from_pretrained(folder).save_pretrained(folder)."
        )
    raise ModelError(f"{spec} lacks {', '.join(missing)}: give a folder with all its safetensors weights.")


def _hash_folder(folder: Path) -> str:
    """Return a hash of the files that make up a model, so that caches know it again."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".json", ".txt", ".model", ".safetensors"):
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()[:40]
