"""Downloading a model's files through the Hub's own client, and saying in one sentence what went wrong."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tclip.errors import ModelError, first_line
from tclip.models.names import ModelName, suggestion
from tclip.models.weights import WEIGHT_PATTERNS, has_safetensors, missing_weights

# What is beside the weights: config, preprocessor, tokenizer (json, BPE merges, SentencePiece).
SMALL_FILES = ("*.json", "*.txt", "*.model")
SUBFOLDERS = "*/*"
CONVERSION_BOT = "SFconvertbot"  # opens a pull request with safetensors on repositories that have none


def download_config(name: ModelName, revision: str | None) -> Path:
    """Bring config.json alone; return the snapshot's folder, which is named after the commit.

    Raises:
        ModelError: no such model or revision, no permission, or no network and nothing in the cache.
    """
    from huggingface_hub import hf_hub_download

    with _one_sentence(name, revision):
        return Path(hf_hub_download(str(name.hub_id), "config.json", revision=revision)).parent


def download_model(name: ModelName, commit: str, revision: str | None) -> Path:
    """Bring weights (safetensors only), tokenizer and preprocessor of a commit; return their folder.

    A commit never changes, so a whole copy in the cache is used without asking the Hub.

    Args:
        name: a resolved name with a Hub id.
        commit: the commit that download_config found.
        revision: what the user asked for, for messages.

    Raises:
        ModelError: as download_config; or the commit has no safetensors weights.
    """
    with _one_sentence(name, revision):
        return cached_model(name, commit) or _downloaded(name, commit, revision)


def cached_model(name: ModelName, revision: str | None) -> Path | None:
    """Return the folder of a model that lies whole in the local cache, without asking the Hub; else None."""
    from huggingface_hub import errors

    try:
        folder = _snapshot(name, revision, local_files_only=True)
    except errors.LocalEntryNotFoundError:
        return None
    return None if missing_weights(folder) else folder


def _downloaded(name: ModelName, commit: str, revision: str | None) -> Path:
    from huggingface_hub import list_repo_files

    names = list_repo_files(str(name.hub_id), revision=commit)
    if not has_safetensors(names):
        raise ModelError(_without_safetensors(name, names, revision))
    return _snapshot(name, commit, local_files_only=False)


def _snapshot(name: ModelName, revision: str | None, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        str(name.hub_id),
        revision=revision,
        allow_patterns=[*WEIGHT_PATTERNS, *SMALL_FILES],
        ignore_patterns=SUBFOLDERS,
        local_files_only=local_files_only,
        tqdm_class=_bar_on_terminals(),
    )
    return Path(folder)


def _bar_on_terminals() -> Any:
    """Return the client's progress bar, mute where its output is not a terminal."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": kwargs.get("disable") or not sys.stderr.isatty()})

    return Bar


def _without_safetensors(name: ModelName, names: list[str], revision: str | None) -> str:
    at = f"{name.hub_id}{_at(revision)}"
    if not any(file.endswith((".bin", ".pt", ".pth", ".ckpt")) for file in names):
        return f"{at} has no weights that tclip can read (model.safetensors): give another model."
    why = f"{at} has only pickled weights (.bin), which can run code when they are read"
    converted = _conversion(name)
    if converted and converted != revision:
        return f"{why}: the Hub's converted copy is waiting, add --set model.revision={converted}."
    return (
        f"{why}: convert it once where you trust it, with AutoModel.from_pretrained(id)"
        ".save_pretrained(folder), copy tokenizer and preprocessor files beside, and give that folder."
    )


def _conversion(name: ModelName) -> str | None:
    """Return the revision of the Hub's own open conversion to safetensors, if there is one."""
    from huggingface_hub import get_repo_discussions

    requests = get_repo_discussions(
        str(name.hub_id), author=CONVERSION_BOT, discussion_type="pull_request", discussion_status="open"
    )
    # the bot's name is checked again here: a stranger's pull request must never be recommended
    return next((r.git_reference for r in requests if r.author == CONVERSION_BOT), None)


@contextmanager
def _one_sentence(name: ModelName, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's client raises into a ModelError of one sentence."""
    from huggingface_hub import errors

    # httpx.HTTPError or httpx2.HTTPError, whichever this version of the client speaks through
    http_error: type[BaseException] = errors.HfHubHTTPError.__bases__[0]
    try:
        yield
    except (errors.HFValidationError, errors.EntryNotFoundError, http_error, OSError, RuntimeError) as error:
        raise ModelError(_sentence(error, name, revision)) from error


def _sentence(error: BaseException, name: ModelName, revision: str | None) -> str:
    from huggingface_hub import errors

    model, at = str(name.hub_id), _at(revision)
    if isinstance(error, errors.HFValidationError):
        return f'"{model}" cannot be a Hub id: give owner/name, or the path of a folder that exists.'
    if isinstance(error, errors.GatedRepoError):
        return f"{model} is gated: accept its terms on its page, then log in with `hf auth login`."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{model} has no revision {revision}: give a branch, tag or commit of its history."
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"{model} is neither a folder here nor a model on the Hub (if it is private, log in with "
            f"`hf auth login`).{suggestion(model)}"
        )
    if isinstance(error, (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled)):
        return _unreachable(error, f"{model}{at}")
    if isinstance(error, errors.EntryNotFoundError):
        return f"{model}{at} has no config.json: give a model in the layout of transformers."
    return f"Downloading {model}{at} failed ({first_line(error)}): run again to go on where it stopped."


def _unreachable(error: BaseException, what: str) -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return (
            f"{what} is not whole in the local cache, and HF_HUB_OFFLINE forbids the download: "
            "unset it once, or give a local folder."
        )
    cause = f" ({first_line(error.__cause__)})" if error.__cause__ else ""
    return (
        f"{what} is not whole in the local cache and the Hub does not answer{cause}: try again later, "
        "or give a local folder."
    )


def _at(revision: str | None) -> str:
    return f" at revision {revision}" if revision else ""
