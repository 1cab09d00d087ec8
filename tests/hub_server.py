"""A small Hub on the loopback: serves folders as model and data set repositories to the real client.

    with HubServer(models={"org/clip": folder}, datasets={"org/pairs": other}) as hub:
        hub.connect(monkeypatch, cache)         # this process; or
        subprocess.run(..., env={**os.environ, **hub.environment(cache)})
        ...
        assert hub.fetched("org/clip") == ["config.json"]

What it speaks: repository info, trees, paths-info, discussions, and files by HEAD and GET with Range.
"""

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest


@dataclass
class Repo:
    """One repository: revisions are names (branches, tags, refs/pr/1) of folders.

    Attributes:
        kind: "models" or "datasets".
        id: owner/name.
        folders: by name of the revision; a folder's commit is a hash of what it holds.
        gated: files are refused to everyone.
        discussions: what /discussions lists, unfiltered: (number, author, title) of open pull requests.
    """

    kind: str
    id: str
    folders: dict[str, Path] = field(default_factory=dict)
    gated: bool = False
    discussions: list[tuple[int, str, str]] = field(default_factory=list)

    def commit(self, revision: str) -> str | None:
        """Return the commit of a revision's name or of a commit itself, None if there is none."""
        commits = {name: _hash_of_folder(folder) for name, folder in self.folders.items()}
        return revision if revision in commits.values() else commits.get(revision)

    def folder(self, commit: str) -> Path:
        """Return the folder of a commit."""
        return next(folder for folder in self.folders.values() if _hash_of_folder(folder) == commit)


@dataclass
class Fault:
    """What goes wrong with files whose path ends in `suffix`, `times` times.

    Attributes:
        suffix: end of the request's path; "" is every request.
        status: answer this status instead, such as 500.
        drop_after: close the connection after so many bytes of the body.
        times: how often before it is healed.
    """

    suffix: str
    status: int | None = None
    drop_after: int | None = None
    times: int = 1_000_000


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    method: str
    path: str
    range: str | None
    status: int


class HubServer:
    """Serves repositories on a free port of the loopback until it is closed; thread-safe enough for tests."""

    def __init__(
        self, models: Mapping[str, Path] | None = None, datasets: Mapping[str, Path] | None = None
    ) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        for kind, folders in (("models", models or {}), ("datasets", datasets or {})):
            for repo_id, folder in folders.items():
                self.add(repo_id, folder, kind=kind)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.hub = self  # type: ignore[attr-defined]
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> "HubServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering; further requests are refused by the system. Closing twice does no harm."""
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, repo_id: str, folder: Path, revision: str = "main", kind: str = "models") -> Repo:
        """Serve a folder as one revision of a repository."""
        repo = self.repos.setdefault((kind, repo_id), Repo(kind, repo_id))
        repo.folders[revision] = folder
        return repo

    def fetched(self, repo_id: str) -> list[str]:
        """Name the files of a repository whose bytes were asked for, sorted, each once."""
        marker = f"/{repo_id}/resolve/"
        paths = [r.path.split(marker, 1)[1] for r in self.requests if r.method == "GET" and marker in r.path]
        return sorted({path.split("/", 1)[1] for path in paths})

    def environment(self, cache: Path) -> dict[str, str]:
        """Environment variables that point a process's Hub client here, with a cache of its own."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(cache),
            "HF_HUB_CACHE": str(cache),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
        }

    def connect(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        """Point the Hub client of this process here, with a cache of its own and no waits between retries."""
        from huggingface_hub import close_session, constants, hf_api

        close_session()  # connections to a server of an earlier test
        for name, value in self.environment(cache).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "ENDPOINT", self.endpoint)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            self.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(hf_api.api, "endpoint", self.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("time.sleep", lambda seconds: None)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request after the other of one connection."""

    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> HubServer:
        return self.server.hub  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean; requests are recorded instead."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self._fault(url.path)
        if fault and fault.status:
            self._error(fault.status, "", "the server was told to fail")
        elif parts[0] == "api":
            self._api(parts[1], "/".join(parts[2:4]), parts[4:], parse_qs(url.query), parse_qs(body.decode()))
        else:
            kind = "datasets" if parts[0] == "datasets" else "models"
            owner, name, _, revision, *path = parts[1:] if kind == "datasets" else parts
            self._file(kind, f"{owner}/{name}", revision, "/".join(path), fault)

    def _fault(self, path: str) -> Fault | None:
        for fault in self.hub.faults:
            is_download = fault.drop_after is None or self.command == "GET"
            if fault.times > 0 and is_download and unquote(path).endswith(fault.suffix):
                fault.times -= 1
                return fault
        return None

    def _api(
        self,
        kind: str,
        repo_id: str,
        action: list[str],
        query: dict[str, list[str]],
        form: dict[str, list[str]],
    ) -> None:
        repo = self.hub.repos.get((kind, repo_id))
        if repo is None:
            return self._error(401, "RepoNotFound", "Repository not found")
        if action[:1] == ["discussions"]:
            return self._json(_discussions(repo))
        revision = action[1] if len(action) > 1 else "main"
        commit = repo.commit(revision)
        if commit is None:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        tree = _tree(repo.folder(commit))
        if action[:1] == ["tree"]:
            inside = "/".join(action[2:])
            recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
            return self._json([entry for entry in tree if _is_listed(entry["path"], inside, recursive)])
        if action[:1] == ["paths-info"]:
            return self._json([entry for entry in tree if entry["path"] in form.get("paths", [])])
        return self._json(_info(repo, commit, tree))

    def _file(self, kind: str, repo_id: str, revision: str, path: str, fault: Fault | None) -> None:
        repo = self.hub.repos.get((kind, repo_id))
        if repo is None:
            return self._error(401, "RepoNotFound", "Repository not found")
        if repo.gated:
            return self._error(403, "GatedRepo", "Access to this repository is restricted")
        commit = repo.commit(revision)
        if commit is None:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        file = repo.folder(commit) / path
        if not file.is_file():
            return self._error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        return self._bytes(file.read_bytes(), commit, fault.drop_after if fault else None)

    def _bytes(self, content: bytes, commit: str, drop_after: int | None) -> None:
        total, first, last = len(content), 0, len(content) - 1
        asked = self.headers.get("Range")
        if asked:
            start, _, stop = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(stop), last) if stop else last
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
            **({"Content-Range": f"bytes {first}-{last}/{total}"} if asked else {}),
        }
        self._send(206 if asked else 200, content[first : last + 1], headers, drop_after)

    def _json(self, document: Any) -> None:
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        about = {"X-Error-Code": code, "X-Error-Message": message} if code else {}
        self._send(status, b"{}", {**about, **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str], drop_after: int | None = None) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(Request(self.command, path, self.headers.get("Range"), status))
        self.send_response(status, HTTPStatus(status).phrase)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if drop_after is None else body[:drop_after])
        self.close_connection = self.close_connection or drop_after is not None


def _tree(folder: Path) -> list[dict[str, Any]]:
    entries = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            entries.append({"type": "directory", "path": name, "size": 0, "oid": _sha1(name.encode())})
        else:
            content = path.read_bytes()
            entries.append({"type": "file", "path": name, "size": len(content), "oid": _sha1(content)})
    return entries


def _is_listed(path: str, inside: str, recursive: bool) -> bool:
    below = path.removeprefix(inside + "/") if inside else path
    return (not inside or path.startswith(inside + "/")) and (recursive or "/" not in below)


def _info(repo: Repo, commit: str, tree: list[dict[str, Any]]) -> dict[str, Any]:
    files = [entry["path"] for entry in tree if entry["type"] == "file"]
    return {
        "id": repo.id,
        "sha": commit,
        "private": False,
        "gated": "auto" if repo.gated else False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "siblings": [{"rfilename": path} for path in files],
    }


def _discussions(repo: Repo) -> dict[str, Any]:
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


def _hash_of_folder(folder: Path) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
