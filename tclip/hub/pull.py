"""Pulling what was pushed: fetched, checked against its checksums, and if asked for copied to a folder."""

import os
import shutil
from pathlib import Path
from typing import Any

from tclip.errors import FormatError, ModelError, UserError
from tclip.hub.sentences import one_sentence
from tclip.models.fetch import fetch, fetch_config
from tclip.packed.replace import replace_folder
from tclip.packed.size import Size, measure
from tclip.progress import Progress, Table


def pull(
    repo_id: str, revision: str | None, out: Path | None, progress: Progress, *, everything: bool = False
) -> Path:
    """Fetch a packed model from the Hub and check it.

    Args:
        repo_id: owner/name.
        revision: branch, tag or commit.
        out: a folder to copy it to; None leaves it in the Hub's cache, where every command finds it.
        progress: who is told where it is and how to use it.
        everything: all files of the repository, not only the packed model.

    Returns:
        the folder.

    Raises:
        UserError: `out` holds something else.
        ModelError: no such repository, no permission, no network, or it is not packed.
        FormatError: what came is damaged.
    """
    if Path(repo_id).is_dir():
        raise UserError(f"{repo_id} is a folder here, which every command takes: there is nothing to pull.")
    if out is not None:
        _check_free(out)
    if not fetch_config(repo_id, revision).is_packed:
        raise ModelError(
            f"{repo_id} is not packed by tclip: compress it with `tclip compress {repo_id}`, or pull another."
        )
    progress.note(f"fetching {repo_id}")
    files = fetch(repo_id, revision)
    folder, commit = files.folder, files.source.commit
    if everything:
        folder = _everything(repo_id, commit)
    size = _checked(folder, repo_id)
    if out is not None:
        _copy(folder, out)
        folder = out
    progress.table(_outcome(repo_id, commit, folder, size))
    model = str(folder) if out is not None else repo_id
    option = f" --revision {revision}" if revision and out is None else ""
    progress.note(f'use it: tclip classify photo.jpg --labels "cat,dog" --model {model}{option}')
    return folder


def _everything(repo_id: str, commit: str) -> Path:
    from huggingface_hub import snapshot_download

    with one_sentence(repo_id, "fetching its files"):
        return Path(snapshot_download(repo_id, revision=commit))


def _checked(folder: Path, repo_id: str) -> Size:
    try:
        return measure(folder)
    except FormatError as error:
        raise FormatError(  # the message's own way out, to fetch again, would find the same copy
            f"{error} Where only the copy in the cache is damaged, `hf cache rm model/{repo_id}` removes it."
        ) from error


def _check_free(out: Path) -> None:
    """An earlier pull may be replaced, anything else may not."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / "config.json").is_file() or not fetch_config(str(out)).is_packed:
        raise UserError(f"{out} is there and is no packed model: give another folder with --out.")


def _copy(folder: Path, out: Path) -> None:
    """Copy a snapshot of the cache, whose files are links."""
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = out.with_name(f".{out.name}.writing-{os.getpid()}")
    try:
        shutil.copytree(folder, staging)
        replace_folder(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _outcome(repo_id: str, commit: str, folder: Path, size: Size) -> Table:
    rows: list[list[Any]] = [
        ["folder", str(folder)],
        ["commit", commit],
        ["bytes of model.safetensors", size.model_bytes],
        ["bytes of all files", size.folder_bytes],
        ["weights", size.num_weights],
        ["ternary, %", round(100 * size.ternary_share, 1)],
    ]
    return Table(f"Pulled {repo_id}: every checksum is right", ["what", ""], rows)
