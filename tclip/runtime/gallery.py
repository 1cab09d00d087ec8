"""The embeddings of a folder of pictures, kept on disk so that each picture is embedded once.

A store is a folder of parts, each written whole: a safetensors file with vectors [N, E] and, in its metadata,
which pictures they are: path, size and time of change. A picture that has changed is embedded again; one that
is gone drops out. An interrupted run leaves its finished parts.

B batch, E embedding, N pictures.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tclip.cache import cache_folder
from tclip.errors import DataError, first_line
from tclip.progress import Progress
from tclip.runtime.clip import RuntimeClip

SUFFIXES = {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
BATCH = 64
PICTURES_A_PART = 16 * BATCH
METADATA_KEY = "pictures"
Stamp = tuple[int, int]


@dataclass
class Gallery:
    """Pictures of a folder and their embeddings.

    Attributes:
        folder: of the pictures, searched with all folders in it.
        paths: relative to the folder, sorted.
        vector_NE: float32, L2-normalised, a row a path.
        unreadable: pictures that could not be read, with the reason; links to nothing are among them.
    """

    folder: Path
    paths: list[str]
    vector_NE: np.ndarray
    unreadable: dict[str, str] = field(default_factory=dict)


def embed_folder(clip: RuntimeClip, folder: Path, store: Path, progress: Progress) -> Gallery:
    """Return the embeddings of all pictures in a folder; only new and changed ones are computed.

    Args:
        clip: with its image tower.
        folder: of the pictures.
        store: where parts are kept; made if need be. It must belong to this model.
        progress: told how many pictures are done.

    Raises:
        DataError: the folder is missing or holds no pictures.
    """
    stamps, unreadable = find_pictures(folder)
    known = _read_store(store, clip.embedding_size)
    wanted = [path for path, stamp in stamps.items() if path not in known or known[path][0] != stamp]
    if wanted:
        progress.begin(f"embedding {folder}", len(wanted))
        for part in _embedded_parts(clip, folder, wanted, unreadable, progress):
            entries = {path: (stamps[path], vector_E) for path, vector_E in part.items()}
            _write_part(store, entries)
            known |= entries
    paths = [path for path in stamps if path in known and known[path][0] == stamps[path]]
    rows = [known[path][1] for path in paths]
    vector_NE = np.stack(rows) if rows else np.empty((0, clip.embedding_size), np.float32)
    return Gallery(folder, paths, vector_NE, unreadable)


def embed_to_file(clip: RuntimeClip, folder: Path, target: Path, progress: Progress) -> tuple[Gallery, Path]:
    """Write the embeddings of all pictures in a folder as numpy's format, and beside them what they are.

    An interrupted call leaves TARGET.parts, with which the next one goes on.

    Args:
        clip: with its image tower.
        folder: of the pictures.
        target: for float32 [N, E]; the JSON file of the same name holds model, identity, folder, paths (one a
            row) and unreadable.
        progress: told how many pictures are done.

    Returns:
        the gallery, and the JSON file.

    Raises:
        DataError: as embed_folder; or the target's name does not end in .npy.
    """
    if target.suffix != ".npy":
        raise DataError(f"{target} does not end in .npy: name a file for the vectors that does.")
    if not target.absolute().parent.is_dir():
        raise DataError(f"There is no folder {target.absolute().parent}: make it, or write elsewhere.")
    parts = target.with_name(f"{target.name}.parts")
    gallery = embed_folder(clip, folder, parts / clip.identity[:16], progress)
    described = _write_vectors(gallery, target, clip)
    shutil.rmtree(parts, ignore_errors=True)
    return gallery, described


def find_pictures(folder: Path) -> tuple[dict[str, Stamp], dict[str, str]]:
    """Find the pictures of a folder and of all folders in it.

    Returns:
        size and time of change in ns by relative path, sorted; and those that the system cannot find or open,
        such as links to nothing, each with the reason.

    Raises:
        DataError: there is no such folder, or it holds no pictures.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}: give one that holds pictures.")
    found: dict[str, Stamp] = {}
    unreadable: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.suffix.lower() not in SUFFIXES or any(part.startswith(".") for part in relative.parts):
            continue
        try:
            status = path.stat()
            found[relative.as_posix()] = (status.st_size, status.st_mtime_ns)
        except OSError as error:
            unreadable[relative.as_posix()] = error.strerror or first_line(error)
    if not found and not unreadable:
        raise DataError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))}): give another folder.")
    return found, unreadable


def store_beside(folder: Path, identity: str) -> Path:
    """Return where the embeddings of a folder by one model are kept: beside it, or in the user's cache.

    The cache (TCLIP_CACHE, or ~/.cache/tclip) is used where nothing can be written beside the folder.
    """
    folder = folder.resolve()
    beside = folder.parent / f".{folder.name}.tclip"
    if beside.is_dir() or os.access(folder.parent, os.W_OK):
        return beside / identity[:16]
    return cache_folder() / "galleries" / folder.relative_to(folder.anchor) / identity[:16]


def _write_vectors(gallery: Gallery, target: Path, clip: RuntimeClip) -> Path:
    beside = target.with_suffix(".json")
    described = {
        "model": clip.name,
        "identity": clip.identity,
        "folder": str(gallery.folder),
        "paths": gallery.paths,
        "unreadable": gallery.unreadable,
    }
    text = json.dumps(described, ensure_ascii=False, indent=1)
    with _replacing(beside) as temporary:
        # of a name that is no UTF-8, Python has \udcXX for a byte, and written so it is an escape of JSON
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    with _replacing(target) as temporary, temporary.open("wb") as file:
        np.save(file, gallery.vector_NE)
    return beside


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A name beside the target, which takes its place once it is written."""
    temporary = target.with_name(f".{target.name}.writing-{os.getpid()}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _embedded_parts(
    clip: RuntimeClip, folder: Path, wanted: Sequence[str], unreadable: dict[str, str], progress: Progress
) -> Iterator[dict[str, np.ndarray]]:
    """Embed in batches, the next one read while this one is computed; yield parts worth a file."""
    batches = [wanted[first : first + BATCH] for first in range(0, len(wanted), BATCH)]
    part: dict[str, np.ndarray] = {}
    done = 0
    with ThreadPoolExecutor(1) as reader:
        read = [reader.submit(clip.try_pixels, [folder / path for path in batches[0]])]
        for index, batch in enumerate(batches):
            if index + 1 < len(batches):
                read.append(reader.submit(clip.try_pixels, [folder / path for path in batches[index + 1]]))
            pixels = dict(zip(batch, read.pop(0).result(), strict=True))
            reasons = {path: each for path, each in pixels.items() if isinstance(each, str)}
            unreadable |= {
                path: reason.removeprefix(f"{folder / path}: ") for path, reason in reasons.items()
            }
            readable = {path: each for path, each in pixels.items() if not isinstance(each, str)}
            if readable:
                vector_BE = clip.encode_pixels(np.stack(list(readable.values())))
                part |= dict(zip(readable, vector_BE, strict=True))
            done += len(batch)
            progress.update(done)
            if len(part) >= PICTURES_A_PART or index + 1 == len(batches):
                yield part
                part = {}


def _write_part(store: Path, entries: dict[str, tuple[Stamp, np.ndarray]]) -> None:
    if not entries:
        return
    store.mkdir(parents=True, exist_ok=True)
    numbers = [int(path.stem) for path in store.glob("*.safetensors") if path.stem.isdecimal()]
    target = store / f"{max(numbers, default=0) + 1:06}.safetensors"
    described = json.dumps([[path, *stamp] for path, (stamp, _) in entries.items()])
    vectors = np.stack([vector_E for _, vector_E in entries.values()])
    with _replacing(target) as temporary:
        save_file({"vectors": vectors}, temporary, {METADATA_KEY: described})


def _read_store(store: Path, embedding_size: int) -> dict[str, tuple[Stamp, np.ndarray]]:
    """What the parts hold, later ones over earlier; a part that cannot be read is made again."""
    known: dict[str, tuple[Stamp, np.ndarray]] = {}
    for path in sorted(store.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as file:
                pictures = json.loads(file.metadata()[METADATA_KEY])
                vector_NE = file.get_tensor("vectors")
            if vector_NE.shape != (len(pictures), embedding_size) or not np.isfinite(vector_NE).all():
                raise ValueError("vectors that do not fit")
            rows = {
                str(name): ((int(size), int(changed)), row)
                for (name, size, changed), row in zip(pictures, vector_NE, strict=True)
            }
        except (SafetensorError, ValueError, KeyError, TypeError):
            path.unlink()
            continue
        known |= rows
    return known
