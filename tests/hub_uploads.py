"""What a small Hub does for those who write to it: who they are, new repositories, large files, commits."""

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.hub_repos import GITATTRIBUTES, Repo, User, etag, is_large, sha256, tree

LICENSES = ("mit", "apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "other")


@dataclass(frozen=True)
class Answer:
    """What the Hub says.

    Attributes:
        status: of HTTP.
        document: the body.
        code: of an error, for the client's exceptions.
        message: of an error, for people.
    """

    status: int
    document: Any = field(default_factory=dict)
    code: str = ""
    message: str = ""


class Refused(Exception):
    """An answer that ends a request."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.answer = Answer(status, {"error": message}, code, message)


@dataclass
class Uploads:
    """The writing half of a Hub.

    Attributes:
        endpoint: its address.
        storage: where commits are kept.
        repos: by kind and id.
        users: by token.
        objects: large files that have arrived, by SHA-256.
        commits: the number of commits to each repository.
        spoil: changes the bytes of what is committed, to test that somebody looks.
    """

    endpoint: str
    storage: Path
    repos: dict[tuple[str, str], Repo]
    users: dict[str, User] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    commits: dict[str, int] = field(default_factory=dict)
    spoil: Callable[[str, bytes], bytes] = lambda path, content: content

    def whoami(self, token: str | None) -> Answer:
        """GET /api/whoami-v2."""
        user = self._user(token)
        access = {"displayName": "a token", "role": user.role}
        auth = {"type": "access_token", "accessToken": access}
        orgs = [{"name": name, "type": "org"} for name in user.orgs]
        return Answer(200, {"type": "user", "name": user.name, "orgs": orgs, "auth": auth})

    def validate_card(self, body: bytes) -> Answer:
        """POST /api/validate-yaml."""
        content = json.loads(body)["content"]
        problems = []
        if not content.startswith("---\n"):
            return Answer(200, {"errors": [], "warnings": [{"message": "empty or missing yaml metadata"}]})
        front = yaml.safe_load(content.split("---\n")[1])
        if front.get("license", "other") not in LICENSES:  # to say nothing is allowed
            problems.append(f'"license" must be one of [{", ".join(LICENSES)}]')
        for entry in front.get("model-index", []):
            for result in entry["results"]:
                if not {"task", "dataset", "metrics"} <= set(result):
                    problems.append('"model-index" is not well formed')
        errors = [{"message": problem} for problem in problems]
        return Answer(400 if errors else 200, {"errors": errors, "warnings": []})

    def create(self, token: str | None, body: bytes) -> Answer:
        """POST /api/repos/create."""
        asked = json.loads(body)
        user = self._user(token)
        owner = asked.get("organization") or user.name
        repo_id = f"{owner}/{asked['name']}"
        if user.role != "write" or not user.owns(repo_id):
            raise Refused(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
        if ("models", repo_id) in self.repos:
            refused = Refused(409, "You already created this model repo")
            refused.answer.document["url"] = f"{self.endpoint}/{repo_id}"  # exist_ok=True reads it
            raise refused
        folder = self._new_folder()
        (folder / ".gitattributes").write_text(GITATTRIBUTES)
        repo = Repo("models", repo_id, {"main": folder}, private=asked.get("visibility") == "private")
        self.repos["models", repo_id] = repo
        return Answer(200, {"url": f"{self.endpoint}/{repo_id}"})

    def branch(self, token: str | None, repo: Repo, name: str) -> Answer:
        """POST /api/models/OWNER/NAME/branch/BRANCH."""
        self._may_write(token, repo)
        if name in repo.folders:
            raise Refused(409, f"Reference already exists: {name}")
        repo.folders[name] = repo.folders["main"]
        return Answer(200)

    def preupload(self, token: str | None, repo: Repo, revision: str, body: bytes) -> Answer:
        """POST /api/models/OWNER/NAME/preupload/REVISION: which files go to the large file storage."""
        self._may_write(token, repo)
        there = {entry["path"]: entry for entry in tree(repo.folders[revision])}
        files = []
        for asked in json.loads(body)["files"]:
            path, entry = asked["path"], there.get(asked["path"], {})
            mode = "lfs" if is_large(path, asked["size"]) else "regular"
            oid = entry.get("lfs", entry).get("oid")
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return Answer(200, {"files": files})

    def batch(self, token: str | None, repo: Repo, body: bytes) -> Answer:
        """POST /OWNER/NAME.git/info/lfs/objects/batch: where large files go that are not there yet."""
        self._may_write(token, repo)
        asked = json.loads(body)
        objects = []
        for each in asked["objects"]:
            told = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.objects:
                verify = {"href": f"{self.endpoint}/{repo.id}.git/info/lfs/objects/verify"}
                upload = {"href": f"{self.endpoint}/lfs-storage/{each['oid']}"}
                told["actions"] = {"upload": upload, "verify": verify}
            objects.append(told)
        assert "basic" in asked["transfers"]
        return Answer(200, {"transfer": "basic", "objects": objects})

    def store(self, oid: str, body: bytes) -> Answer:
        """PUT of a large file to where the batch said: no token, the address is enough."""
        if sha256(body) != oid:
            raise Refused(400, "The content is not what its address says")
        self.objects[oid] = body
        return Answer(200)

    def verify(self, body: bytes) -> Answer:
        """POST /OWNER/NAME.git/info/lfs/objects/verify."""
        asked = json.loads(body)
        stored = self.objects.get(asked["oid"])
        if stored is None or len(stored) != asked["size"]:
            raise Refused(404, "The object did not arrive")
        return Answer(200)

    def commit(self, token: str | None, repo: Repo, revision: str, body: bytes) -> Answer:
        """POST /api/models/OWNER/NAME/commit/REVISION: a line a file."""
        self._may_write(token, repo)
        if revision not in repo.folders or revision in repo.tags:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        lines = [json.loads(line) for line in body.splitlines()]
        (header,) = (line["value"] for line in lines if line["key"] == "header")
        parent = header.get("parentCommit")
        if parent is not None and parent != repo.commit(revision):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        folder = self._new_folder(repo.folders[revision])
        for line in lines:
            self._apply(folder, line["key"], line["value"])
        repo.history.append(repo.folders[revision])
        repo.folders[revision] = folder
        self.commits[repo.id] = self.commits.get(repo.id, 0) + 1
        oid = repo.commit(revision)
        return Answer(
            200,
            {"success": True, "commitOid": oid, "commitUrl": f"{self.endpoint}/{repo.id}/commit/{oid}"},
        )

    def _apply(self, folder: Path, key: str, value: dict[str, Any]) -> None:
        if key == "header":
            return
        path = folder / value["path"]
        assert path.resolve().is_relative_to(folder.resolve())
        if key == "deletedFile":
            if not path.is_file():
                raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
            path.unlink()
            return
        if key == "file":
            content = base64.b64decode(value["content"])
            if is_large(value["path"], len(content)):
                raise Refused(400, f"{value['path']} must be stored with LFS")
        elif key == "lfsFile":
            if value["oid"] not in self.objects:
                raise Refused(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
            content = self.objects[value["oid"]]
        else:
            raise Refused(400, f"Unknown operation {key}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.spoil(value["path"], content))

    def _new_folder(self, like: Path | None = None) -> Path:
        folder = self.storage / str(len(list(self.storage.iterdir())))
        if like is not None:
            shutil.copytree(like, folder)
        else:
            folder.mkdir()
        return folder

    def _user(self, token: str | None) -> User:
        if token is None:
            raise Refused(401, "Invalid username or password.")
        if token not in self.users:
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.users[token]

    def _may_write(self, token: str | None, repo: Repo) -> None:
        user = self._user(token)
        if user.role != "write" or not user.owns(repo.id):
            raise Refused(403, "Forbidden: you are not allowed to write to this repository")


def uploaded(repo: Repo, revision: str = "main") -> dict[str, str]:
    """Return the hashes of what a repository holds, by path."""
    folder = repo.folders[revision]
    return {
        path.relative_to(folder).as_posix(): etag(path.name, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
