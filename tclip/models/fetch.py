"""Bringing a model's files to this machine: from the Hub (or its cache), or from a folder."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tclip.errors import ModelError
from tclip.models.families import family_of
from tclip.models.hub import (
    cached_model,
    download_config,
    download_model,
    download_open_clip_config,
    published_files,
    refuse_pickle,
)
from tclip.models.layout import OPEN_CLIP, TRANSFORMERS, Layout, layout_of, open_clip_conversion
from tclip.models.names import ModelName, resolve_name
from tclip.models.source import ModelSource
from tclip.models.weights import has_safetensors, missing_weights, weight_bytes

if TYPE_CHECKING:
    from tclip.models.open_clip.config import OpenClip

MODEL_FILES = (".json", ".txt", ".model", ".safetensors")  # what makes up a model that is loaded


@dataclass(frozen=True)
class ModelFiles:
    """A model's folder on this machine.

    Attributes:
        folder: holds the config and, once fetched whole, weights, tokenizer and preprocessor.
        config: the parsed config.json; for a folder in open_clip's layout, one that says the same.
        source: where it came from.
        open_clip: for a folder in open_clip's layout, what else its config says.
    """

    folder: Path
    config: dict[str, Any]
    source: ModelSource
    open_clip: "OpenClip | None" = None

    @property
    def layout(self) -> Layout:
        """Whose layout the folder has."""
        return OPEN_CLIP if self.open_clip else TRANSFORMERS

    @property
    def is_packed(self) -> bool:
        """Whether the folder holds a ternary model that tclip packed."""
        quantization = self.config.get("quantization_config")
        return isinstance(quantization, dict) and quantization.get("quant_method") == "tclip"


def fetch_config(spec: str, revision: str | None = None) -> ModelFiles:
    """Bring only the config and check the architecture, before anything large is downloaded.

    Args:
        spec: Hub id, alias or local folder, in the layout of transformers or of open_clip.
        revision: branch, tag or commit on the Hub.

    Raises:
        ModelError: no such model, no permission, no network, or an architecture that is not supported.
    """
    name = resolve_name(spec)
    if name.folder:
        if revision:
            raise ModelError(f"{spec} is a local folder and has no revisions: leave out revision {revision}.")
        return _described(name.folder, spec, ModelSource(str(name.folder), None, ""))
    folder = download_config(name, revision)
    return _described(folder, spec, ModelSource(str(name.hub_id), revision, folder.name))


def fetch(spec: str, revision: str | None = None) -> ModelFiles:
    """Bring a whole model: config first, then weights (safetensors only), tokenizer and preprocessor.

    The source's commit of a folder is a hash of its files.

    Raises:
        ModelError: as fetch_config; or the model has no safetensors weights, or not all of them.
    """
    files = fetch_config(spec, revision)
    name = resolve_name(spec)
    if name.folder:
        _check_weights(files, spec)
        _check_tokenizer(files, [file.name for file in files.folder.iterdir()], spec)
        return replace(files, source=replace(files.source, commit=hash_folder(files.folder)))
    folder = cached_model(name, files.source.commit) or _download(name, files, spec)
    # read again: a model whose weights are open_clip's alone is now seen to be one
    files = _described(folder, spec, files.source)
    _check_weights(files, spec)
    return files


def _download(name: ModelName, files: ModelFiles, spec: str) -> Path:
    """Bring what is not in the cache; what cannot be used is refused before the weights."""
    commit, revision = files.source.commit, files.source.revision
    names = published_files(name, commit, revision)
    layout = files.layout
    if OPEN_CLIP.config_file in names and not has_safetensors(names, layout):
        layout = OPEN_CLIP if has_safetensors(names, OPEN_CLIP) else layout
    refuse_pickle(name, names, layout, revision)
    if layout is OPEN_CLIP:
        folder = download_open_clip_config(name, commit, revision)
        _check_tokenizer(_open_clip_files(folder, spec, files.source), names, spec)
    return download_model(name, layout, names, commit, revision)


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


def _described(folder: Path, spec: str, source: ModelSource) -> ModelFiles:
    """Read the config of a folder in either layout and check the architecture."""
    if layout_of(folder) is OPEN_CLIP:
        return _open_clip_files(folder, spec, source)
    config = _read_config(folder, TRANSFORMERS, spec)
    family_of(config, spec)
    return ModelFiles(folder, config, source)


def _open_clip_files(folder: Path, spec: str, source: ModelSource) -> ModelFiles:
    from tclip.models.open_clip.config import describe

    open_clip = describe(_read_config(folder, OPEN_CLIP, spec), spec)
    return ModelFiles(folder, open_clip.config, source, open_clip)


def _read_config(folder: Path, layout: Layout, spec: str) -> dict[str, Any]:
    path = folder / layout.config_file
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
    if (folder / "recipe.yaml").is_file():
        return f"the folder is a run: give the model that it was made of, or what it made, {folder}/packed"
    configs = (TRANSFORMERS.config_file, OPEN_CLIP.config_file)
    inside = sorted({str(path.parent) for name in configs for path in folder.glob(f"*/{name}")})
    if inside:
        return f"the folder is no model but holds some, give {' or '.join(inside)}"
    return (
        "give a folder in the Hugging Face layout (config.json, model.safetensors, tokenizer files) or in "
        "open_clip's (open_clip_config.json, open_clip_model.safetensors, tokenizer files)"
    )


def _check_weights(files: ModelFiles, spec: str) -> None:
    missing = missing_weights(files.folder)
    if not missing:
        return
    if any(files.folder.glob("*.bin")):
        convert = "AutoModel.from_pretrained(folder).save_pretrained(folder)"
        if files.open_clip:
            convert = open_clip_conversion(f"local-dir:{files.folder}")
        raise ModelError(
            f"{spec} has only pickled weights (.bin), which can run code when they are read: convert "
            f"them once where you trust them, with {convert}."
        )
    raise ModelError(f"{spec} lacks {', '.join(missing)}: give a folder with all its safetensors weights.")


def _check_tokenizer(files: ModelFiles, names: list[str], spec: str) -> None:
    """Refuse a model of open_clip without its vocabulary, which open_clip itself may take from elsewhere."""
    if files.open_clip:
        from tclip.models.open_clip.inputs import check_tokenizer_files

        check_tokenizer_files(names, files.open_clip.tokenizing, spec)


def hash_folder(folder: Path, suffixes: tuple[str, ...] = MODEL_FILES) -> str:
    """Return a hash of the files that make up a model, so that caches know it again."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in suffixes:
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()[:40]
