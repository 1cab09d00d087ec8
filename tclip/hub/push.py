"""Pushing a run: all is looked at before anything is sent, and what was sent is compared afterwards."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from tclip.errors import HubError, UserError, listed
from tclip.hub.base import find_base
from tclip.hub.card import Subject, write_card
from tclip.hub.files import CARD, PublishedFile, gather, refuse_private
from tclip.hub.license import license_for
from tclip.hub.remote import MAIN, Remote, check_token, files_at, find, make_ready, refuse_stranger
from tclip.hub.sentences import one_sentence
from tclip.hub.state import look_at
from tclip.progress import Progress, Table
from tclip.run import Run

HEAD_ENDS = "\n---\n"


@dataclass(frozen=True)
class Target:
    """Where a run goes.

    Attributes:
        repo_id: owner/name on the Hub.
        revision: a branch, made if it is not there; None for the main one.
        private: whether nobody else may see it.
    """

    repo_id: str
    revision: str | None = None
    private: bool = False


@dataclass(frozen=True)
class Stated:
    """What the user says of the original, where the run cannot tell.

    Attributes:
        license: as the Hub spells it.
        base_model: its Hub id.
    """

    license: str | None = None
    base_model: str | None = None


def push(
    run: Run,
    target: Target,
    stated: Stated,
    progress: Progress,
    *,
    dry_run: bool = False,
    verify: Callable[[], object] | None = None,
) -> None:
    """Publish a run on the Hub, in one commit.

    Args:
        run: the run folder, packed.
        target: where to.
        stated: about the original.
        progress: who is told: a table of the files, then one of what was done.
        dry_run: show the files and the head of the card, and send nothing.
        verify: called before anything is sent; what it raises stops the push.

    Raises:
        UserError: the run is not ready, the license forbids it or is not known, the token or the name is
            not good, or what `verify` raises.
        FormatError: the packed model is damaged.
        HubError: the Hub does not answer, stopped half way, or holds something else than was sent.
    """
    _check_name(target.repo_id)
    files, base = prepare(run, target, stated, progress)
    if dry_run:
        return
    from huggingface_hub import HfApi

    api = HfApi(library_name="tclip", library_version=version("tclip"))
    check_token(api, target.repo_id)
    remote = find(api, target.repo_id, target.revision)
    if remote is not None:
        refuse_stranger(api, target.repo_id, remote, base)
        _check_private(target, remote)
    if verify is not None:
        verify()
    remote = make_ready(api, target.repo_id, target.revision, remote, private=target.private)
    commit, sent, removed = _send(api, target, files, remote, progress)
    _compare(api, target.repo_id, commit, files)
    progress.table(_outcome(api, target, commit, files, sent, removed))


def prepare(run: Run, target: Target, stated: Stated, progress: Progress) -> tuple[list[PublishedFile], str]:
    """Gather the files and write the card; show both.

    Returns:
        the files, the card first, and the original's name as the packed config.json has it.

    Raises:
        UserError, FormatError: as `push`.
    """
    state = look_at(run)
    files = gather(run, state)
    config = json.loads((run.packed / "config.json").read_text(encoding="utf-8"))
    base = find_base(run, stated.base_model)
    license = license_for(base, stated.license)
    subject = Subject(run, target.repo_id, target.revision, state, files, base, license)
    card = write_card(subject, config["model_type"])
    files = [PublishedFile(CARD, card.encode()), *files]
    refuse_private(files[:1], run)
    for sentence in state.left_out:
        progress.note(sentence)
    rows: list[list[Any]] = [[file.path, file.num_bytes] for file in files]
    rows.append(["all", sum(file.num_bytes for file in files)])
    progress.note(f"{CARD} begins:\n{card[: card.index(HEAD_ENDS)]}\n---")
    progress.table(Table(f"{run.folder} as {target.repo_id}", ["file", "bytes"], rows))
    return files, config["quantization_config"]["base_model"]["id"]


def _check_name(repo_id: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
        is_whole = repo_id.count("/") == 1
    except HFValidationError:
        is_whole = False
    if not is_whole:
        raise UserError(f'"{repo_id}" cannot be a Hub id: give owner/name, such as your-name/clip-ternary.')


def _check_private(target: Target, remote: Remote) -> None:
    if target.private and not remote.private:
        raise UserError(
            f"{target.repo_id} is there already, for all to see: make it private in its settings on the Hub, "
            "or leave out --private."
        )


def _send(
    api: Any, target: Target, files: Sequence[PublishedFile], remote: Remote, progress: Progress
) -> tuple[str, list[PublishedFile], list[str]]:
    """Commit what the repository lacks; large files go first, and those that arrive need not be sent again.

    Returns:
        the commit that the branch then stands at, what was sent, what was removed.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    lacking, leftovers = remote.lacking(files), remote.leftovers(files)
    if not lacking and not leftovers:
        progress.note(f"{target.repo_id} holds these files already")
        return remote.commit, [], []
    megabytes = sum(file.num_bytes for file in lacking) / 1e6
    progress.note(f"sending {len(lacking)} of {len(files)} files, {megabytes:.1f} MB")
    operations = [
        *(CommitOperationAdd(file.path, file.content) for file in lacking),
        *(CommitOperationDelete(path, is_folder=False) for path in leftovers),
    ]
    with one_sentence(target.repo_id, "sending the files"):
        done = api.create_commit(
            target.repo_id,
            operations,
            commit_message=f"Ternary CLIP, packed by tclip {version('tclip')}",
            revision=target.revision,
            parent_commit=remote.commit,  # what was looked at is what is changed
        )
    return done.oid, lacking, leftovers


def _compare(api: Any, repo_id: str, commit: str, files: Sequence[PublishedFile]) -> None:
    """Ask the Hub for the hashes of what it holds now.

    Raises:
        HubError: a file is not there or has other bytes; all of them are named.
    """
    with one_sentence(repo_id, "comparing the hashes"):
        there = files_at(api, repo_id, commit)
    offenders = Remote(commit, False, there).lacking(files)
    if offenders:
        raise HubError(
            f"{repo_id} does not hold at commit {commit[:12]} what was sent; run the command again, and if "
            "it stays so, look whether a .gitignore there leaves files out:"
            f"{listed(f'{file.path}: {_difference(file, there.get(file.path))}' for file in offenders)}"
        )


def _difference(file: PublishedFile, there: Any) -> str:
    if there is None:
        return "is missing"
    ours, theirs = (file.sha256, there.lfs.sha256) if there.lfs else (file.git_sha1, there.blob_id)
    return f"{there.size:,} bytes with hash {theirs[:12]} instead of {file.num_bytes:,} with {ours[:12]}"


def _outcome(
    api: Any,
    target: Target,
    commit: str,
    files: Sequence[PublishedFile],
    sent: Sequence[PublishedFile],
    removed: Sequence[str],
) -> Table:
    rows: list[list[Any]] = [
        ["address", f"{api.endpoint}/{target.repo_id}"],
        ["branch", target.revision or MAIN],
        ["commit", commit],
        ["files sent", len(sent)],
        ["bytes sent", sum(file.num_bytes for file in sent)],
        ["files there before", len(files) - len(sent)],
        ["files of an earlier push removed", len(removed)],
        ["hashes compared", len(files)],
    ]
    return Table(f"Pushed {target.repo_id}", ["what", ""], rows)
