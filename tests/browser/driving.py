"""Serving a page on the loopback interface and using it in headless Chromium (drive.mjs)."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FOLDER = Path(__file__).parents[2] / "build" / "browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


@dataclass(frozen=True)
class Tools:
    """What it takes to use a page: two programs, and a folder with playwright-core in node_modules."""

    node: str
    chromium: str
    folder: Path


def find_tools() -> Tools | str:
    """Return what is installed, or one line that says what is missing."""
    node = shutil.which("node")
    chromium = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if node is None:
        return "node is not installed"
    if chromium is None:
        return "Chromium is not installed"
    if not (FOLDER / "node_modules" / "playwright-core").is_dir():
        return f"{FOLDER} lacks playwright-core: `make browser` installs it"
    return Tools(node, chromium, FOLDER)


class _Files(SimpleHTTPRequestHandler):
    """Files of a folder, without a log, with some headers of our own."""

    extra: dict[str, str]

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def end_headers(self) -> None:
        """Add the headers."""
        for name, value in self.extra.items():
            self.send_header(name, value)
        super().end_headers()


@contextmanager
def served(folder: Path, headers: dict[str, str] | None = None) -> Iterator[str]:
    """Serve a folder; gives its address, which ends with a slash."""
    handler = type("Files", (_Files,), {"extra": headers or {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def use(tools: Tools, url: str, **job: Any) -> dict[str, Any]:
    """Use the page at a url as drive.mjs says; returns what it showed."""
    with TemporaryDirectory(prefix="tclip-browser-") as profile:
        told = {"folder": str(tools.folder), "chromium": tools.chromium, "profile": profile, "url": url}
        done = subprocess.run(
            [tools.node, str(Path(__file__).with_name("drive.mjs"))],
            input=json.dumps(told | job),
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
