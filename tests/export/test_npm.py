"""The page's libraries: read from archives or node_modules, each held against its hash; npm is asked once."""

import hashlib
import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from tclip.errors import DataError, UserError
from tclip.export import npm
from tclip.export.npm import PACKAGES, Package, library_files
from tclip.progress import Collected

CONTENT = {"dist/a.mjs": b"export const a = 1;", "dist/a.wasm": b"\0asm" * 9}
OTHER = {"index.mjs": b"export const b = 2;"}


def package(name: str, version: str, contents: dict[str, bytes]) -> Package:
    files = {
        path: (f"{Path(path).stem}.{name[-1]}.js", hashlib.sha256(content).hexdigest())
        for path, content in contents.items()
    }
    return Package(name, version, "MIT, nobody", 1.0, files)


MADE = (package("a-lib", "1.2.3", CONTENT), package("@scope/b", "0.1.0", OTHER))


def archive(folder: Path, made: Package, contents: dict[str, bytes]) -> Path:
    path = folder / made.archive
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {**contents, "README.md": b"read me"}.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(autouse=True)
def two_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(npm, "PACKAGES", MADE)
    monkeypatch.setenv("TCLIP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder with both archives."""
    for made, contents in zip(MADE, (CONTENT, OTHER), strict=True):
        archive(tmp_path / "given", made, contents)
    return tmp_path / "given"


def put_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Make a program called npm the only one that is found."""
    folder.mkdir(parents=True)
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin")


def names_and_contents() -> dict[str, bytes]:
    return {
        name: contents[path]
        for made, contents in zip(MADE, (CONTENT, OTHER), strict=True)
        for path, (name, _) in made.files.items()
    }


def test_archives_are_read(given: Path) -> None:
    progress = Collected()
    assert library_files(given, progress) == names_and_contents()


def test_an_archive_is_called_as_npm_calls_it() -> None:
    assert [made.archive for made in MADE] == ["a-lib-1.2.3.tgz", "scope-b-0.1.0.tgz"]


def test_installed_packages_are_read(tmp_path: Path) -> None:
    for made, contents in zip(MADE, (CONTENT, OTHER), strict=True):
        for path, content in {**contents, "package.json": b"{}"}.items():
            file = tmp_path / "node_modules" / made.name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    assert library_files(tmp_path / "node_modules", Collected()) == names_and_contents()


def test_all_that_is_missing_or_foreign_is_named(tmp_path: Path) -> None:
    changed = CONTENT | {"dist/a.mjs": b"export const a = 2;"}
    del changed["dist/a.wasm"]
    archive(tmp_path / "given", MADE[0], changed)
    with pytest.raises(DataError) as caught:
        library_files(tmp_path / "given", Collected())
    message = str(caught.value)
    assert "put there what `npm pack a-lib@1.2.3 @scope/b@0.1.0` writes." in message
    assert "\n  a-lib@1.2.3: dist/a.mjs is not that of this version" in message
    assert "\n  a-lib@1.2.3: dist/a.wasm is missing" in message
    assert "\n  @scope/b@0.1.0: neither scope-b-0.1.0.tgz nor @scope/b/package.json is there" in message


def test_a_damaged_archive_is_named(given: Path) -> None:
    path = given / MADE[0].archive
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"a-lib-1\.2\.3\.tgz cannot be read .*: delete it and run again\."):
        library_files(given, Collected())


def test_npm_fills_the_cache_once(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    put_npm(tmp_path / "bin", monkeypatch, f'echo "$@" >> {log}; cp {given}/*.tgz .')
    begun: list[str] = []
    progress = Collected()
    monkeypatch.setattr(progress, "begin", lambda what, total=None: begun.append(what), raising=False)
    assert library_files(None, progress) == names_and_contents()
    assert begun == ["npm pack a-lib@1.2.3 @scope/b@0.1.0 (2 MB)"]
    assert library_files(None, progress) == names_and_contents()
    assert log.read_text().splitlines() == ["pack --silent a-lib@1.2.3 @scope/b@0.1.0"]
    assert sorted(path.name for path in (tmp_path / "cache" / "npm").iterdir()) == [
        "a-lib-1.2.3.tgz",
        "scope-b-0.1.0.tgz",
    ]


def test_without_npm_the_way_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"npm is not installed: install Node\.js, or run `npm pack a-lib@1"):
        library_files(None, Collected())


def test_what_npm_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_npm(tmp_path / "bin", monkeypatch, "echo 'npm error network' >&2; exit 1")
    with pytest.raises(UserError, match=r"failed \(npm error network\): run again, or run it elsewhere"):
        library_files(None, Collected())
    assert list((tmp_path / "cache" / "npm").iterdir()) == []


def test_the_real_packages_are_pinned_and_have_licences() -> None:
    assert json.dumps([made.spec for made in PACKAGES]) == (
        '["onnxruntime-web@1.30.0", "@huggingface/tokenizers@0.2.0"]'
    )
    names = [name for made in PACKAGES for name, _ in made.files.values()]
    assert len(set(names)) == len(names)
    assert {Path(name).suffix for name in names} <= {".js", ".wasm", ".txt"}
