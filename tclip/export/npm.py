"""The libraries of the page, from npm: which ones, in which version, and which of their files.

tclip holds no copy of them. They are taken from a folder that the user gives, from tclip's cache, or else by
`npm pack`, the registry's ordinary client; every file must have the hash that is written here.
"""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tclip.cache import cache_folder
from tclip.errors import DataError, UserError, listed
from tclip.progress import Progress


@dataclass(frozen=True)
class Package:
    """A package of npm.

    Attributes:
        name, version: as npm knows it.
        licence: and whose it is.
        megabytes: of its archive, for the user to know what is fetched.
        files: what is needed of it, a path in the package: (name in the page's lib/, SHA-256).
    """

    name: str
    version: str
    licence: str
    megabytes: float
    files: Mapping[str, tuple[str, str]]

    @property
    def spec(self) -> str:
        """What npm is asked for."""
        return f"{self.name}@{self.version}"

    @property
    def archive(self) -> str:
        """What `npm pack` calls its archive."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


# Names end in .js, which every static server declares as JavaScript; not every one does so with .mjs.
PACKAGES = (
    Package(
        "onnxruntime-web",
        "1.30.0",
        "MIT, Microsoft Corporation",
        33.1,
        {
            "dist/ort.wasm.bundle.min.mjs": (
                "ort.js",
                "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
            ),
            "dist/ort-wasm-simd-threaded.wasm": (
                "ort.wasm",
                "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
            ),
        },
    ),
    Package(
        "@huggingface/tokenizers",
        "0.2.0",
        "Apache-2.0, Hugging Face",
        0.1,
        {
            "dist/tokenizers.min.mjs": (
                "tokenizers.js",
                "258e46332101335ce8d95aed7745b19ac3b46d37f3e159a89cf894c2ea9b1d3a",
            ),
            "LICENSE": (
                "tokenizers.LICENSE.txt",
                "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4",
            ),
        },
    ),
)


def library_files(given: Path | None, progress: Progress) -> dict[str, bytes]:
    """Return the libraries' files by the names that they have in the page's lib/.

    Args:
        given: a folder with the archives that `npm pack` writes, or a node_modules; None: tclip's cache,
            which `npm pack` fills if need be.
        progress: told before anything is fetched.

    Raises:
        DataError: the folder lacks a package, or has one whose files are not those of the version.
        UserError: nothing is in the cache, and npm is not installed or fails.
    """
    if given is not None:
        return _from_folder(given)
    cache = cache_folder() / "npm"
    missing = [package for package in PACKAGES if not (cache / package.archive).is_file()]
    if missing:
        _pack(missing, cache, progress)
    return _from_folder(cache)


def _from_folder(folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    problems: list[str] = []
    for package in PACKAGES:
        contents = _contents(folder, package)
        if contents is None:
            problems.append(
                f"{package.spec}: neither {package.archive} nor {package.name}/package.json is there"
            )
            continue
        for path, (name, sha256) in package.files.items():
            if hashlib.sha256(contents.get(path, b"")).hexdigest() != sha256:
                what = "is not that of this version" if path in contents else "is missing"
                problems.append(f"{package.spec}: {path} {what}")
            found[name] = contents.get(path, b"")
    if problems:
        raise DataError(
            f"The page needs packages of npm that {folder} does not hold: put there what "
            f"`npm pack {' '.join(package.spec for package in PACKAGES)}` writes.{listed(problems)}"
        )
    return found


def _contents(folder: Path, package: Package) -> dict[str, bytes] | None:
    """The files that are needed of a package, those that are there; None if the package is not."""
    archive, installed = folder / package.archive, folder / package.name
    if archive.is_file():
        return _of_archive(archive, package)
    if not (installed / "package.json").is_file():
        return None
    return {path: (installed / path).read_bytes() for path in package.files if (installed / path).is_file()}


def _of_archive(archive: Path, package: Package) -> dict[str, bytes]:
    contents = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                path = member.name.removeprefix("package/")
                file = tar.extractfile(member) if path in package.files else None
                if file is not None:
                    contents[path] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive} cannot be read ({error}): delete it and run again.") from error
    return contents


def _pack(packages: Sequence[Package], cache: Path, progress: Progress) -> None:
    """Let npm write the archives of packages into the cache."""
    specs = [package.spec for package in packages]
    command = ["npm", "pack", "--silent", *specs]
    said = f"{' '.join(command[:2])} {' '.join(specs)}"
    if shutil.which("npm") is None:
        raise UserError(
            f"The page needs {' and '.join(specs)} from npm, and npm is not installed: install Node.js, "
            f"or run `{said}` where it is and give the folder with --packages FOLDER."
        )
    progress.begin(f"{said} ({sum(package.megabytes for package in packages):.0f} MB)")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".packing-", dir=cache) as folder:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            raise UserError(
                f"`{said}` failed ({(lines or ['it said nothing'])[0]}): run again, or run it elsewhere and "
                "give the folder with --packages FOLDER."
            )
        for package in packages:
            (Path(folder) / package.archive).replace(cache / package.archive)
