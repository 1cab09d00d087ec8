"""What a small Hub holds: repositories, their trees with the hashes that a Hub tells, and who may do what."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# what a new repository's .gitattributes sends to the large file storage, as far as tests need it
LARGE = (".safetensors", ".bin", ".onnx", ".gguf", ".model", ".npy", ".tar", ".tgz", ".parquet", ".zip")
LARGE_BYTES = 10_000_000
GITATTRIBUTES = "".join(f"*{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in LARGE)


@dataclass(frozen=True)
class User:
    """Whom a token belongs to.

    Attributes:
        name: the user's.
        role: of the token: "read" or "write".
        orgs: to whose repositories the user may write too.
    """

    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()

    def owns(self, repo_id: str) -> bool:
        """Whether a repository is in one of the user's name spaces."""
        return repo_id.split("/")[0] in (self.name, *self.orgs)


@dataclass
class Repo:
    """One repository: revisions are names (branches, tags, refs/pr/1) of folders.

    Attributes:
        kind: "models" or "datasets".
        id: owner/name.
        folders: by name of the revision; a folder's commit is a hash of what it holds.
        gated: files are refused to everyone.
        private: it is not there for those who do not own it.
        discussions: what /discussions lists, unfiltered: (number, author, title) of open pull requests.
        tags: names of the revisions that are no branches.
        history: folders that branches have left behind.
    """

    kind: str
    id: str
    folders: dict[str, Path] = field(default_factory=dict)
    gated: bool = False
    private: bool = False
    discussions: list[tuple[int, str, str]] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    history: list[Path] = field(default_factory=list)

    def commit(self, revision: str) -> str | None:
        """Return the commit of a revision's name or of a commit itself, None if there is none."""
        commits = {name: hash_of_folder(folder) for name, folder in self.folders.items()}
        known = {*commits.values(), *map(hash_of_folder, self.history)}
        return revision if revision in known else commits.get(revision)

    def folder(self, commit: str) -> Path:
        """Return the folder of a commit."""
        folders = (*self.folders.values(), *self.history)
        return next(folder for folder in folders if hash_of_folder(folder) == commit)


def is_large(path: str, size: int) -> bool:
    """Whether a file goes to the large file storage."""
    return size > 0 and (path.endswith(LARGE) or size > LARGE_BYTES)


def etag(path: str, content: bytes) -> str:
    """Return the hash by which the Hub's client knows a file's content."""
    return sha256(content) if is_large(path, len(content)) else git_blob(content)


def tree(folder: Path) -> list[dict[str, Any]]:
    """Return what /tree lists of a folder, all levels."""
    entries: list[dict[str, Any]] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            entries.append({"type": "directory", "path": name, "size": 0, "oid": sha1(name.encode())})
            continue
        content = path.read_bytes()
        entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content)}
        if is_large(name, len(content)):
            pointer = (
                f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(content)}\n"
                f"size {len(content)}\n"
            ).encode()
            entry["oid"] = git_blob(pointer)
            entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": len(pointer)}
        else:
            entry["oid"] = git_blob(content)
        entries.append(entry)
    return entries


def is_listed(path: str, inside: str, recursive: bool) -> bool:
    """Whether /tree lists a path under a folder."""
    below = path.removeprefix(inside + "/") if inside else path
    return (not inside or path.startswith(inside + "/")) and (recursive or "/" not in below)


def info(repo: Repo, commit: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the Hub tells of a repository at a commit."""
    files = [entry["path"] for entry in entries if entry["type"] == "file"]
    return {
        "id": repo.id,
        "sha": commit,
        "private": repo.private,
        "gated": "auto" if repo.gated else False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "siblings": [{"rfilename": path} for path in files],
    }


def refs(repo: Repo) -> dict[str, Any]:
    """Return the branches and tags of a repository."""

    def listed(names: list[str], prefix: str) -> list[dict[str, Any]]:
        return [
            {"name": name, "ref": f"refs/{prefix}/{name}", "targetCommit": repo.commit(name)}
            for name in names
        ]

    branches = [name for name in repo.folders if name not in repo.tags and not name.startswith("refs/")]
    return {"branches": listed(branches, "heads"), "tags": listed(sorted(repo.tags), "tags"), "converts": []}


def discussions(repo: Repo) -> dict[str, Any]:
    """Return the open pull requests of a repository."""
    listed = [
        {
            "num": number,
            "title": title,
            "author": {"name": author},
            "createdAt": "2024-01-01T00:00:00.000Z",
            "status": "open",
            "isPullRequest": True,
            "repo": {"name": repo.id, "type": repo.kind.removesuffix("s")},
        }
        for number, author, title in repo.discussions
    ]
    return {"discussions": listed, "count": len(listed), "start": 0}


def hash_of_folder(folder: Path) -> str:
    """Return what stands for a commit of these files."""
    digest = hashlib.sha1(usedforsecurity=False)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def git_blob(content: bytes) -> str:
    """Return the name that git gives a file's content."""
    return sha1(b"blob %d\0" % len(content) + content)


def sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
