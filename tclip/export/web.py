"""A page that searches and labels pictures with a packed model, in the browser and without a server program.

FOLDER/index.html, *.js, style.css   the page (tclip/export/page)
FOLDER/lib/                          ONNX Runtime and the tokenizer's library, from npm (npm.py)
FOLDER/*.onnx, *.json                the model: its image encoder takes bytes, see pixels.py
FOLDER/model.json                    what the page must know of it (browser.py)
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tclip.export.browser import check_family, document, image_steps
from tclip.export.npm import PACKAGES, library_files
from tclip.export.onnx import IMAGE_FILE, TEXT_FILE, WrittenFile, export_onnx
from tclip.export.session import OnnxClip
from tclip.export.target import written_files
from tclip.models.clip import Clip
from tclip.packed.replace import written_whole
from tclip.progress import Progress
from tclip.recipe.schema import Onnx

PAGE = Path(__file__).parent / "page"
LOADED = (IMAGE_FILE, TEXT_FILE, "tokenizer.json", "tokenizer_config.json", "lib/ort.wasm")


def export_web(
    clip: Clip, folder: Path, libraries: dict[str, bytes], activations: str = "int8"
) -> list[WrittenFile]:
    """Write the page, the model and the libraries to a folder, in the place of what it held.

    Args:
        clip: of `load_packed`.
        folder: of the page.
        libraries: of `library_files`.
        activations: "int8": smaller in memory and faster; "float": exact.

    Raises:
        ModelError: the page cannot run this family, or not prepare its pictures.
    """
    check_family(clip)
    with written_whole(folder) as staging:
        clip.image_processor.save_pretrained(staging)
        image_steps(clip, staging)  # before the encoders are traced
        export_onnx(clip, staging, Onnx.model_validate({"activations": activations, "pixels": "uint8"}))
        _write_tight(staging / "tokenizer.json")
        for path in PAGE.iterdir():
            shutil.copyfile(path, staging / path.name)
        (staging / "lib").mkdir()
        for name, content in libraries.items():
            (staging / "lib" / name).write_bytes(content)
        notice = {package.spec: package.licence for package in PACKAGES}
        _write_json(staging / "lib" / "licences.json", notice)
        sizes = {name: (staging / name).stat().st_size for name in LOADED}
        _write_json(staging / "model.json", document(clip, staging, sizes))
    return written_files(folder)


def open_web(folder: Path, packed: Path) -> OnnxClip:
    """Open what the page runs as an encoder; its JavaScript is what tests/browser compares.

    Raises:
        ModelError: the folder lacks a file.
    """
    return OnnxClip(folder)


def web_export(
    packages: Path | None, activations: str, progress: Progress
) -> Callable[[Clip, Path], list[WrittenFile]]:
    """Return export_web with the libraries, which are fetched once it is known that the page runs the model.

    Args:
        packages: see `library_files`.
        activations: see `export_web`.
        progress: told of what is fetched.
    """

    def export(clip: Clip, folder: Path) -> list[WrittenFile]:
        check_family(clip)
        return export_web(clip, folder, library_files(packages, progress), activations)

    return export


def _write_tight(path: Path) -> None:
    """Write a JSON file again without the white space, which is a third of a vocabulary."""
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
