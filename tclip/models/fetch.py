"""Bringing a model's files to this machine: from the Hub (or its cache), or from a folder. Never pickle."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tclip.errors import ModelError
from tclip.models.clip import ModelSource
from tclip.models.families import family_of
from tclip.models.names import ModelName, resolve_name

WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
# What is beside the weights: config, preprocessor, tokenizer (json, BPE merges, SentencePiece).
SMALL_FILES = ("*.json", "*.txt", "*.model")


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
        return self.config.get("quantization_config", {}).get("quant_method") == "tclip"


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
            raise ModelError(f"{spec} is a local folder and has no revision: leave out {revision}.")
        folder, commit = name.folder, ""
    else:
        folder = _download_config(name, revision)
        commit = folder.name
    config = _read_config(folder, spec)
    family_of(config, spec)
    return ModelFiles(folder, config, ModelSource(name.hub_id or str(name.folder), revision, commit))


def fetch(spec: str, revision: str | None = None) -> ModelFiles:
    """Bring a whole model: config first, then weights (safetensors only), tokenizer and preprocessor.

    Raises:
        ModelError: as fetch_config; or the model has no safetensors weights.
    """
    files = fetch_config(spec, revision)
    name = resolve_name(spec)
    if name.folder:
        _refuse_pickle([entry.name for entry in name.folder.iterdir()], spec)
        source = ModelSource(str(name.folder), None, _hash_folder(name.folder))
        return ModelFiles(name.folder, files.config, source)
    folder = _download(name, files.source.commit)
    return ModelFiles(folder, files.config, files.source)


def _download_config(name: ModelName, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    with _sentences(name, revision):
        return Path(hf_hub_download(str(name.hub_id), "config.json", revision=revision)).parent


def _download(name: ModelName, commit: str) -> Path:
    from huggingface_hub import constants, list_repo_files, snapshot_download

    with _sentences(name, commit):
        if not constants.HF_HUB_OFFLINE:
            _refuse_pickle(list_repo_files(str(name.hub_id), revision=commit), name.given)
        folder = Path(
            snapshot_download(str(name.hub_id), revision=commit, allow_patterns=[*WEIGHTS, *SMALL_FILES])
        )
    _refuse_pickle([entry.name for entry in folder.iterdir()], name.given)
    return folder


@contextmanager
def _sentences(name: ModelName, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's client raises into one sentence each."""
    from huggingface_hub import errors

    at = f" at revision {revision}" if revision else ""
    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{name.hub_id} is gated: accept its terms on the Hub, then log in with `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{name.hub_id} has no revision {revision}.") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"No model {name.hub_id} on the Hub (or it is private: log in with `hf auth login`)."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise ModelError(
            f"{name.hub_id}{at} is not in the local cache and the Hub cannot be reached: connect once, unset "
            "HF_HUB_OFFLINE, or give a local folder."
        ) from error
    except errors.EntryNotFoundError as error:
        raise ModelError(f"{name.hub_id}{at} has no config.json, so it is no transformers model.") from error
    except (errors.HfHubHTTPError, OSError) as error:
        raise ModelError(f"Downloading {name.hub_id}{at} failed: {error}. Run again to continue.") from error


def _read_config(folder: Path, spec: str) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{spec} has no config.json: give a folder in the Hugging Face layout.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}): fetch the model again.") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} does not hold a JSON object: fetch the model again.")
    return config


def _refuse_pickle(names: list[str], spec: str) -> None:
    if any(Path(name).match(pattern) for name in names for pattern in WEIGHTS[:2]):
        return
    if any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in names):
        raise ModelError(
            f"{spec} has only pickled weights (.bin), which can run code when read: ask for the automatic "
            "conversion with --revision refs/pr/1 if the Hub offers it, or convert it once yourself with "
            "model.save_pretrained(folder), and give that."
        )
    raise ModelError(f"{spec} has no model.safetensors: give a model with safetensors weights.")


def _hash_folder(folder: Path) -> str:
    """Return a hash of the files that make up a model, so that caches know it again."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".json", ".txt", ".model", ".safetensors"):
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()[:40]
