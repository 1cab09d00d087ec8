"""A small Hub on the loopback: serves folders as model and data set repositories to the real client.

    with HubServer(models={"org/clip": folder}, datasets={"org/pairs": other}) as hub:
        hub.connect(monkeypatch, cache)         # this process; or
        subprocess.run(..., env={**os.environ, **hub.environment(cache)})
        ...
        assert hub.fetched("org/clip") == ["config.json"]

        hub.log_in(monkeypatch, User("me"))     # what follows may write to me/...

What it speaks: repository info, trees, paths-info, discussions, refs, and files by HEAD and GET with Range
(hub_repos.py); who somebody is, new repositories and branches, large files by LFS, commits (hub_uploads.py).
It does not speak Xet, the Hub's newer storage, whose native client talks to servers of its own: the client is
told to do without (HF_HUB_DISABLE_XET). What it is sent and what /tree tells of it are the same either way.
"""

import json
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.hub_repos import Repo, User, discussions, etag, info, is_listed, refs, tree
from tests.hub_uploads import Answer, Refused, Uploads


@dataclass
class Fault:
    """What goes wrong with files whose path ends in `suffix`, `times` times.

    Attributes:
        suffix: end of the request's path; "" is every request.
        status: answer this status instead, such as 500.
        drop_after: close the connection after so many bytes of the body that is sent.
        cut_after: close the connection after so many bytes of a body that comes in by PUT.
        lose_answer: do what a POST asks, and close the connection instead of saying so.
        times: how often before it is healed.
    """

    suffix: str
    status: int | None = None
    drop_after: int | None = None
    cut_after: int | None = None
    lose_answer: bool = False
    times: int = 1_000_000

    def concerns(self, method: str, path: str) -> bool:
        """Whether a request is hit."""
        if self.times <= 0 or not path.endswith(self.suffix):
            return False
        if self.drop_after is not None:
            return method == "GET"
        if self.cut_after is not None:
            return method == "PUT"
        return method == "POST" or not self.lose_answer


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
        self._storage = tempfile.TemporaryDirectory()
        self.uploads = Uploads(self.endpoint, Path(self._storage.name), self.repos)
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
        self._storage.cleanup()

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

    def sent(self) -> list[str]:
        """Name the large files that came in whole, by their SHA-256, as often as they came."""
        return [
            r.path.rsplit("/", 1)[1] for r in self.requests if r.method == "PUT" and r.status == HTTPStatus.OK
        ]

    def log_in(self, monkeypatch: pytest.MonkeyPatch, user: User, token: str = "hf_secret") -> None:
        """Give this process a token of a user."""
        self.uploads.users[token] = user
        monkeypatch.setenv("HF_TOKEN", token)

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
        if "transformers.utils.hub" in sys.modules:  # it keeps a client of its own once it has used one
            monkeypatch.setattr("transformers.utils.hub._hf_api", None)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("time.sleep", lambda seconds: None)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request after the other of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for the client's delayed acknowledgement

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

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        fault = self._fault(path)
        length = int(self.headers.get("Content-Length") or 0)
        if fault and fault.cut_after is not None:
            self.rfile.read(min(fault.cut_after, length))
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if fault and fault.status:
            self._error(fault.status, "", "the server was told to fail")
            return
        try:
            answer = self._choose(path.strip("/").split("/"), parse_qs(url.query), body, fault)
        except Refused as refused:
            answer = refused.answer
        if fault and fault.lose_answer:
            self.close_connection = True
        elif answer is not None:
            self._say(answer)

    def _fault(self, path: str) -> Fault | None:
        for fault in self.hub.faults:
            if fault.concerns(self.command, path):
                fault.times -= 1
                return fault
        return None

    @property
    def token(self) -> str | None:
        """The token that came with the request."""
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def _choose(
        self, parts: list[str], query: dict[str, list[str]], body: bytes, fault: Fault | None
    ) -> Answer | None:
        """Return the answer; None if a file has been sent already."""
        uploads = self.hub.uploads
        match parts:
            case ["api", "whoami-v2"]:
                return uploads.whoami(self.token)
            case ["api", "validate-yaml"]:
                return uploads.validate_card(body)
            case ["api", "repos", "create"]:
                return uploads.create(self.token, body)
            case ["api", kind, owner, name, *action]:
                return self._api(self._repo(kind, f"{owner}/{name}"), action, query, body)
            case ["lfs-storage", oid]:
                return uploads.store(oid, body)
            case [owner, name, "info", "lfs", "objects", "batch"]:
                return uploads.batch(
                    self.token, self._repo("models", f"{owner}/{name.removesuffix('.git')}"), body
                )
            case [_, _, "info", "lfs", "objects", "verify"]:
                return uploads.verify(body)
            case ["datasets", owner, name, "resolve", *where]:
                return self._file(self._repo("datasets", f"{owner}/{name}"), where, fault)
            case [owner, name, "resolve", *where]:
                return self._file(self._repo("models", f"{owner}/{name}"), where, fault)
        return Answer(404, code="EntryNotFound", message="there is nothing here")

    def _repo(self, kind: str, repo_id: str) -> Repo:
        repo = self.hub.repos.get((kind, repo_id))
        user = self.hub.uploads.users.get(self.token or "")
        if repo is None or (repo.private and not (user and user.owns(repo_id))):
            raise Refused(401, "Repository not found", "RepoNotFound")
        return repo

    def _api(self, repo: Repo, action: list[str], query: dict[str, list[str]], body: bytes) -> Answer:
        uploads = self.hub.uploads
        match action:
            case ["discussions"]:
                return Answer(200, discussions(repo))
            case ["refs"]:
                return Answer(200, refs(repo))
            case ["branch", *name]:
                return uploads.branch(self.token, repo, "/".join(name))
            case ["preupload", *revision]:
                return uploads.preupload(self.token, repo, "/".join(revision), body)
            case ["commit", *revision]:
                return uploads.commit(self.token, repo, "/".join(revision), body)
        revision, inside = _revision(repo, action[1:])
        commit = repo.commit(revision)
        if commit is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        entries = tree(repo.folder(commit))
        if action[:1] == ["tree"]:
            recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
            return Answer(200, [entry for entry in entries if is_listed(entry["path"], inside, recursive)])
        if action[:1] == ["paths-info"]:
            paths = parse_qs(body.decode()).get("paths", [])
            return Answer(200, [entry for entry in entries if entry["path"] in paths])
        return Answer(200, info(repo, commit, entries))

    def _file(self, repo: Repo, where: list[str], fault: Fault | None) -> None:
        if repo.gated:
            raise Refused(403, "Access to this repository is restricted", "GatedRepo")
        revision, path = _revision(repo, where)
        commit = repo.commit(revision)
        if commit is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        file = repo.folder(commit) / path
        if not file.is_file():
            self._error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
            return
        self._bytes(path, file.read_bytes(), commit, fault.drop_after if fault else None)

    def _bytes(self, path: str, content: bytes, commit: str, drop_after: int | None) -> None:
        total, first, last = len(content), 0, len(content) - 1
        asked = self.headers.get("Range")
        if asked:
            start, _, stop = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(stop), last) if stop else last
        headers = {
            "ETag": f'"{etag(path, content)}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
            **({"Content-Range": f"bytes {first}-{last}/{total}"} if asked else {}),
        }
        self._send(206 if asked else 200, content[first : last + 1], headers, drop_after)

    def _say(self, answer: Answer) -> None:
        about = {"X-Error-Code": answer.code, "X-Error-Message": answer.message}
        headers = {"Content-Type": "application/json", **{k: v for k, v in about.items() if v}}
        self._send(answer.status, json.dumps(answer.document).encode(), headers)

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


def _revision(repo: Repo, parts: list[str]) -> tuple[str, str]:
    """Split what follows in a path into a revision, which may hold slashes (refs/pr/1), and the rest."""
    if not parts:
        return "main", ""
    known = (name for name in repo.folders if "/".join(parts).startswith(f"{name}/") and "/" in name)
    revision = next(known, parts[0] if "/".join(parts) not in repo.folders else "/".join(parts))
    return revision, "/".join(parts).removeprefix(revision).strip("/")
