"""A repository on the Hub as it is: what it holds, whose it is, and what differs from the files here."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tclip.errors import HubError, UserError
from tclip.hub.files import RESULTS, PublishedFile
from tclip.hub.sentences import TOKENS, one_sentence
from tclip.hub.state import FORMS

MAIN = "main"
COMMIT = re.compile(r"[0-9a-f]{40}")
MODELS = ("*.safetensors", "*.bin", "*.onnx", "*.gguf", "*.msgpack", "*.h5", "*.pt")
# what only a push writes, so that what an earlier one left may be taken away
WRITTEN = (
    "model*.safetensors",
    "model.safetensors.index.json",
    f"{RESULTS}/*.json",
    *(f"{form}/{pattern}" for form, patterns in FORMS.items() for pattern in patterns),
)


@dataclass(frozen=True)
class Remote:
    """One revision of a repository.

    Attributes:
        commit: that it stands at.
        private: whether only its owner sees it.
        files: `huggingface_hub.hf_api.RepoFile` by path.
    """

    commit: str
    private: bool
    files: Mapping[str, Any]

    def lacking(self, files: Iterable[PublishedFile]) -> list[PublishedFile]:
        """Return the files that are not there, or not with these bytes."""
        return [file for file in files if not _is_same(file, self.files.get(file.path))]

    def leftovers(self, files: Iterable[PublishedFile]) -> list[str]:
        """Return the paths that an earlier push wrote and this one does not."""
        kept = {file.path for file in files}
        return [
            path
            for path in self.files
            if path not in kept and any(fnmatch(path, pattern) for pattern in WRITTEN)
        ]


def _is_same(file: PublishedFile, there: Any) -> bool:
    if there is None or there.size != file.num_bytes:
        return False
    return there.lfs.sha256 == file.sha256 if there.lfs else there.blob_id == file.git_sha1


def check_token(api: Any, repo_id: str) -> None:
    """Ask the Hub who the token belongs to.

    Raises:
        UserError: there is no token, the Hub does not know it, or it may only read.
        HubError: the Hub does not answer.
    """
    with one_sentence(repo_id, "asking who you are"):
        who = api.whoami()
    token = (who.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise UserError(
            f'The token "{token.get("displayName", "")}" of {who.get("name")} may only read: make one that '
            f"may write at {TOKENS}, then log in with it (`hf auth login`)."
        )


def find(api: Any, repo_id: str, revision: str | None) -> Remote | None:
    """Return a repository as it stands, or None if there is none that the token may see.

    Args:
        api: an HfApi.
        repo_id: the repository.
        revision: a branch; None for the main one. If it is not there, the main one is returned.

    Raises:
        UserError: the revision is no branch.
        HubError: the Hub does not answer.
    """
    from huggingface_hub import errors

    if revision and COMMIT.fullmatch(revision):
        raise UserError(f"--revision {revision} is a commit, which never changes: give a branch.")
    with one_sentence(repo_id, "looking at the repository"):
        try:
            info = api.model_info(repo_id)
        except errors.RepositoryNotFoundError:
            return None
        if revision and _is_branch(api, repo_id, revision):
            info = api.model_info(repo_id, revision=revision)
        return Remote(info.sha, bool(info.private), files_at(api, repo_id, info.sha))


def _is_branch(api: Any, repo_id: str, revision: str) -> bool:
    if revision.startswith("refs/pr/"):
        return True
    refs = api.list_repo_refs(repo_id)
    if revision in [tag.name for tag in refs.tags]:
        raise UserError(f"--revision {revision} is a tag of {repo_id}, which never changes: give a branch.")
    return revision in [branch.name for branch in refs.branches]


def files_at(api: Any, repo_id: str, commit: str) -> dict[str, Any]:
    """Return what a commit holds, by path, each with its hashes."""
    return {
        entry.path: entry
        for entry in api.list_repo_tree(repo_id, recursive=True, revision=commit)
        if hasattr(entry, "blob_id")
    }


def refuse_stranger(api: Any, repo_id: str, remote: Remote, base: str) -> None:
    """Refuse to write over a model that is not an earlier push of the same original.

    Args:
        api: an HfApi.
        repo_id: the repository.
        remote: as it stands.
        base: the original's name, as the packed config.json tells it.

    Raises:
        UserError: the repository holds another model.
    """
    if "config.json" not in remote.files:
        models = [path for path in remote.files if any(fnmatch(path, pattern) for pattern in MODELS)]
        if not models:
            return
        what = f"a model that is not tclip's ({models[0]})"
    else:
        with one_sentence(repo_id, "looking at its config.json"):
            path = api.hf_hub_download(repo_id, "config.json", revision=remote.commit)
        there = _base_of(Path(path))
        if there == base:
            return
        what = f"a ternary {there}" if there else "a model that is not tclip's"
    raise UserError(
        f"{repo_id} is taken: it holds {what}, and this run is a ternary {base}; give another name, or "
        "delete that repository on the Hub first."
    )


def make_ready(
    api: Any, repo_id: str, revision: str | None, remote: Remote | None, *, private: bool
) -> Remote:
    """Make a repository and a branch, where they are not there.

    Args:
        api: an HfApi.
        repo_id: the repository.
        revision: the branch; None for the main one.
        remote: what `find` has found.
        private: whether a new repository is for its owner alone.

    Returns:
        the branch as it stands then.

    Raises:
        UserError: the name is taken, or may not be written to.
        HubError: the Hub does not answer.
    """
    with one_sentence(repo_id, "making the repository"):
        if remote is None:
            _create(api, repo_id, private)
        if revision and revision != MAIN and not revision.startswith("refs/"):
            api.create_branch(repo_id, branch=revision, exist_ok=True)
    made = remote or find(api, repo_id, revision)
    if made is None:
        raise HubError(f"The Hub has made {repo_id} and does not show it: run the command again in a minute.")
    return made


def _create(api: Any, repo_id: str, private: bool) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(repo_id, private=private or None)
    except HfHubHTTPError as error:
        if error.response.status_code != HTTPStatus.CONFLICT:
            raise
        raise UserError(
            f"{repo_id} is taken by a repository that your token may not see: give another name, or log in "
            "with a token that may write to it."
        ) from error


def _base_of(path: Path) -> str | None:
    """Return the original that a packed config.json names, None for a file that tclip did not write."""
    try:
        quantization = json.loads(path.read_text(encoding="utf-8"))["quantization_config"]
        return str(quantization["base_model"]["id"]) if quantization["quant_method"] == "tclip" else None
    except (ValueError, KeyError, TypeError):
        return None
