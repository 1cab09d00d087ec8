"""Loading a packed CLIP for use without torch."""

import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tclip.errors import FormatError, ModelError, did_you_mean
from tclip.models.fetch import ModelFiles
from tclip.runtime.clip import ImageExecutor, RuntimeClip, TextExecutor
from tclip.runtime.describe import Towers
from tclip.runtime.folder import find_packed
from tclip.runtime.images import CONFIG_FILE as IMAGES_FILE
from tclip.runtime.images import image_reader
from tclip.runtime.mapped import MappedFile
from tclip.runtime.native import NativeImageTower, NativeTextTower, native_module
from tclip.runtime.reference import NumpyImageTower, NumpyTextTower
from tclip.runtime.texts import CONFIG_FILE as TEXTS_FILE
from tclip.runtime.texts import TOKENIZER_FILE, TextReader
from tclip.runtime.weights import ImageTower, TextTower

NUMPY = "numpy"
PATH_VARIABLE = "TCLIP_PATH"
PREFIXES = {
    "image": ("vision_model.", "visual_projection."),
    "text": ("text_model.", "text_projection."),
}
Made = TypeVar("Made")


def load(
    spec: str | Path,
    *,
    towers: str = "both",
    revision: str | None = None,
    num_threads: int | None = None,
    path: str | None = None,
) -> RuntimeClip:
    """Load a packed CLIP.

    Args:
        spec: packed folder, run folder or Hub id.
        towers: "both", "image" or "text"; the other takes no memory, and its weights are not read.
        revision: branch, tag or commit on the Hub.
        num_threads: most threads that a call uses; all cores that this process may use if None.
        path: what runs it, one of `paths()`; the fastest if None. The environment variable TCLIP_PATH says
            it for a whole process.

    Raises:
        ModelError: no such model, it is not packed, or of a kind that cannot be run without torch.
        FormatError: it is damaged or of a newer format.
    """
    if towers not in ("both", "image", "text"):
        raise ModelError(f'There is no towers="{towers}": give "both", "image" or "text".')
    chosen = _chosen_path(path)
    threads = num_threads or available_cores()
    files = find_packed(spec, revision)
    file = MappedFile(files.folder)
    wanted = [tower for tower in ("image", "text") if towers in (tower, "both")]
    kept_out = tuple(
        prefix for tower, prefixes in PREFIXES.items() if tower not in wanted for prefix in prefixes
    )
    names = [name for name in file.names() if not name.startswith(kept_out)]
    file.check(names)
    described = Towers(files.config, file, str(spec))
    image = described.image() if "image" in wanted else None
    text = described.text() if "text" in wanted else None
    scale, bias = described.scale_and_bias()
    file.check_read(names)
    return RuntimeClip(
        name=str(spec),
        identity=_identity(files, file),
        path=chosen,
        num_threads=threads,
        embedding_size=_embedding_size(image or text),
        image_size=image.image_size if image else None,
        logit_scale=scale,
        logit_bias=bias,
        sigmoid=described.sigmoid,
        _read_images=image_reader(files.folder, image.image_size, threads) if image else None,
        _run_images=_made(file, lambda: image_executor(image, chosen, threads)) if image else None,
        _read_texts=_text_reader(files, text) if text else None,
        _run_texts=_made(file, lambda: text_executor(text, chosen, threads)) if text else None,
    )


def paths() -> list[str]:
    """Return what can run a model here, the fastest first: instruction sets, and at the end "numpy"."""
    native = native_module()
    return [*(native.paths() if native else []), NUMPY]


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def image_executor(tower: ImageTower, path: str, num_threads: int) -> ImageExecutor:
    """Return what runs an image tower by one of `paths()`."""
    return NumpyImageTower(tower) if path == NUMPY else NativeImageTower(tower, path, num_threads)


def text_executor(tower: TextTower, path: str, num_threads: int) -> TextExecutor:
    """Return what runs a text tower by one of `paths()`."""
    return NumpyTextTower(tower) if path == NUMPY else NativeTextTower(tower, path, num_threads)


def _chosen_path(path: str | None) -> str:
    wanted, there = path or os.environ.get(PATH_VARIABLE) or "", paths()
    if wanted and wanted not in there:
        raise ModelError(
            f'This machine has no path "{wanted}".{did_you_mean(wanted, there)} It has {", ".join(there)}.'
        )
    if there == [NUMPY] and not wanted:
        warnings.warn(
            "tclip was installed without its native code and runs on numpy, many times slower: install a C++ "
            "compiler (GCC or clang), then run `pip install --force-reinstall --no-deps tclip`.",
            RuntimeWarning,
            stacklevel=3,
        )
    return wanted or there[0]


def _made(file: MappedFile, make: Callable[[], Made]) -> Made:
    try:
        return make()
    except ValueError as error:
        raise file.damaged(str(error)) from error


def _text_reader(files: ModelFiles, tower: TextTower) -> TextReader:
    config: Any = files.config["text_config"]
    return TextReader(files.folder, config, len(tower.position_ND))


def _embedding_size(tower: ImageTower | TextTower | None) -> int:
    if tower is None:
        raise FormatError("no tower was loaded")
    return tower.projection.matrix.shape[0] if tower.projection else tower.position_ND.shape[1]


def _identity(files: ModelFiles, file: MappedFile) -> str:
    """The header holds the checksums of all tensors, so it stands for them."""
    digest = hashlib.sha256(file.header_text)
    for name in ("config.json", IMAGES_FILE, TEXTS_FILE, TOKENIZER_FILE):
        path = files.folder / name
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()[:40]
