"""Downloading a model's files through the Hub's own client, and saying in one sentence what went wrong."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tclip.errors import ModelError, first_line
from tclip.models.layout import (
    OPEN_CLIP,
    TRANSFORMERS,
    Layout,
    describes_transformers,
    open_clip_conversion,
)
from tclip.models.names import ModelName, suggestion
from tclip.models.weights import has_safetensors, missing_weights, weight_patterns

# What is beside the weights: config, preprocessor, tokenizer (json, BPE merges, SentencePiece).
SMALL_FILES = ("*.json", "*.txt", "*.model")
SUBFOLDERS = "*/*"
CONVERSION_BOT = "SFconvertbot"  # opens a pull request with safetensors on repositories that have none


def download_config(name: ModelName, revision: str | None) -> Path:
    """Bring the config alone; return the snapshot's folder, which is named after the commit.

    It is config.json, and open_clip_config.json where there is no config.json of transformers.

    Raises:
        ModelError: no such model or revision, no permission, or no network and nothing in the cache.
    """
    from huggingface_hub import errors

    with _one_sentence(name, revision):
        try:
            folder = _file(name, TRANSFORMERS.config_file, revision).parent
        except errors.EntryNotFoundError as error:
            return _open_clip_config(name, revision, instead_of=error)
        if not describes_transformers(folder):
            with suppress(errors.RemoteEntryNotFoundError):
                return _file(name, OPEN_CLIP.config_file, folder.name).parent
        return folder


def download_open_clip_config(name: ModelName, commit: str, revision: str | None) -> Path:
    """Bring open_clip_config.json of a commit; return the snapshot's folder.

    Raises:
        ModelError: as download_config.
    """
    with _one_sentence(name, revision):
        return _file(name, OPEN_CLIP.config_file, commit).parent


def published_files(name: ModelName, commit: str, revision: str | None) -> list[str]:
    """List the files of a commit.

    Raises:
        ModelError: as download_config.
    """
    from huggingface_hub import list_repo_files

    with _one_sentence(name, revision):
        return list_repo_files(str(name.hub_id), revision=commit)


def download_model(
    name: ModelName, layout: Layout, names: list[str], commit: str, revision: str | None
) -> Path:
    """Bring weights (safetensors only), tokenizer and preprocessor of a commit; return their folder.

    Args:
        name: a resolved name with a Hub id.
        layout: whose files.
        names: of the commit's files, as published_files listed them.
        commit: the commit that download_config found.
        revision: what the user asked for, for messages.

    Raises:
        ModelError: as download_config.
    """
    with _one_sentence(name, revision):
        return _snapshot(name, commit, weight_patterns(names, layout))


def cached_model(name: ModelName, revision: str | None) -> Path | None:
    """Return the folder of a model that lies whole in the local cache, without asking the Hub; else None.

    A commit never changes, so a whole copy of one can be used without asking the Hub.
    """
    from huggingface_hub import errors

    try:
        folder = _snapshot(name, revision, weights=())
    except errors.LocalEntryNotFoundError:
        return None
    return None if missing_weights(folder) else folder


def refuse_pickle(name: ModelName, names: list[str], layout: Layout, revision: str | None) -> None:
    """Refuse a model of whose files none are safetensors weights.

    Raises:
        ModelError: it says how to get some, or what kept it from asking the Hub.
    """
    if not has_safetensors(names, layout):
        with _one_sentence(name, revision):
            raise ModelError(_without_safetensors(name, names, layout, revision))


def _open_clip_config(name: ModelName, revision: str | None, instead_of: Exception) -> Path:
    """Bring open_clip_config.json where there is no config.json; without either, the first fault counts."""
    from huggingface_hub import errors

    try:
        return _file(name, OPEN_CLIP.config_file, revision).parent
    except errors.EntryNotFoundError:
        raise instead_of from None


def _file(name: ModelName, file: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(str(name.hub_id), file, revision=revision))


def _snapshot(name: ModelName, revision: str | None, weights: tuple[str, ...]) -> Path:
    """Bring weights and what is beside them; without weights, only look into the cache for the rest."""
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        str(name.hub_id),
        revision=revision,
        allow_patterns=[*weights, *SMALL_FILES],
        ignore_patterns=SUBFOLDERS,
        local_files_only=not weights,
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


def _without_safetensors(name: ModelName, names: list[str], layout: Layout, revision: str | None) -> str:
    at = f"{name.hub_id}{_at(revision)}"
    if not any(file.endswith((".bin", ".pt", ".pth", ".ckpt")) for file in names):
        return f"{at} has no weights that tclip can read ({layout.whole_weights[0]}): give another model."
    why = f"{at} has only pickled weights (.bin), which can run code when they are read"
    converted = _conversion(name)
    if converted and converted != revision:
        return f"{why}: the Hub's converted copy is waiting, add --set model.revision={converted}."
    if layout is OPEN_CLIP:
        call = open_clip_conversion(f"hf-hub:{name.hub_id}")
        return (
            f"{why}: convert it once where you trust it, with {call}, put config and tokenizer files beside, "
            "and give that folder."
        )
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
        return (
            f"{model}{at} has no config.json: give a model in the layout of transformers, or of open_clip "
            "(open_clip_config.json)."
        )
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
