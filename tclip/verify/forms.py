"""The forms in which a run may hold its model: what belongs to each, how it is opened, how near it must be.

A new export target is one line in FORMS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tclip.errors import ModelError, unknown_name
from tclip.evaluate.encoder import ClipEncoder, Encoder
from tclip.export.formats import FORMATS
from tclip.export.gguf import open_gguf
from tclip.export.session import OnnxClip
from tclip.models.clip import Clip
from tclip.recipe.schema import Onnx
from tclip.run import Run
from tclip.runtime.folder import read_json
from tclip.verify.agreement import Limits

# Float sums in another order, and floats kept as float16 or not.
EXACT = Limits(cosine=0.9999, agreement=0.98)
# Int8 rounding makes much of the last bits (docs/results/2026-11-24-runtime.md), bfloat16 has few of them.
ROUNDED = Limits(cosine=0.998, agreement=0.95)
# Other rounding of a layer's input: one scale for all tokens, which is what ONNX has operators for, or none.
COARSE = Limits(cosine=0.98, agreement=0.9)


@dataclass(frozen=True)
class Form:
    """One form of a model.

    Attributes:
        folder: where a run holds it, relative to RUN.
        files: pattern of the files whose bytes count.
        open: makes an encoder of (the form's folder, RUN/packed).
        limits: of a run, how far it may part from the packed model.
        make: the command that writes it.
        families: model types that it can hold; empty: all.
    """

    folder: str
    files: str
    open: Callable[[Path, Path], Encoder]
    limits: Callable[[Run], Limits]
    make: str
    families: tuple[str, ...] = ()

    def is_in(self, run: Run) -> bool:
        """Whether the run holds this form."""
        if (
            self.families
            and read_json(run.packed / "config.json", "model")["model_type"] not in self.families
        ):
            return False
        return any((run.folder / self.folder).glob(self.files))

    def num_bytes(self, run: Run) -> int:
        """Return the bytes of its weights in the run."""
        return sum(path.stat().st_size for path in (run.folder / self.folder).glob(self.files))


def _packed(folder: Path, packed: Path) -> Encoder:
    from tclip.packed.load import load_packed

    return ClipEncoder(load_packed(folder))


class RuntimeEncoder:
    """A packed folder run by tclip.runtime."""

    def __init__(self, folder: Path) -> None:
        from tclip.runtime import load

        self._clip = load(folder)

    def embed_images(self, images: list[Image.Image]) -> np.ndarray:
        """Return the embeddings of images, [B, E]."""
        return self._clip.encode_image(images)

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        """Return the embeddings of texts, [B, E]."""
        return self._clip.encode_text(texts)


def _runtime(folder: Path, packed: Path) -> Encoder:
    return RuntimeEncoder(folder)


def _plugin(folder: Path, packed: Path) -> Encoder:
    import transformers  # which tclip.plugin has taught to read packed folders

    from tclip.models.fetch import fetch
    from tclip.models.load import clip_from

    return ClipEncoder(clip_from(fetch(str(folder)), transformers.AutoModel.from_pretrained(folder)))


def _opened(open_clip: Callable[[Path, Path], Clip]) -> Callable[[Path, Path], Encoder]:
    return lambda folder, packed: ClipEncoder(open_clip(folder, packed))


def _onnx(folder: Path, packed: Path) -> Encoder:
    return OnnxClip(folder)


def _onnx_limits(run: Run) -> Limits:
    settings = run.recipe.export.onnx
    return Limits(settings.min_cosine, settings.min_agreement) if settings else COARSE


def _coarse(run: Run) -> Limits:
    return COARSE


def _float(run: Run) -> Limits:
    """Of forms whose layers take float inputs, which the packed model may round to int8."""
    quantization = read_json(run.packed / "config.json", "model")["quantization_config"]
    return COARSE if quantization["activations"] == "int8" else ROUNDED


def _exact(run: Run) -> Limits:
    return EXACT


def _rounded(run: Run) -> Limits:
    return ROUNDED


FORMS: dict[str, Form] = {
    "calibrated": Form("calibrated", "model.safetensors", _packed, _rounded, "tclip calibrate RUN"),
    "trained": Form("trained", "model.safetensors", _packed, _rounded, "tclip train RUN"),
    "packed": Form("packed", "model.safetensors", _packed, _exact, "tclip pack RUN"),
    "runtime": Form(
        "packed", "model.safetensors", _runtime, _rounded, "tclip pack RUN", ("clip", "metaclip_2", "siglip")
    ),
    "transformers": Form("packed", "model.safetensors", _plugin, _exact, "tclip pack RUN"),
    "onnx": Form("onnx", "*.onnx", _onnx, _onnx_limits, "tclip export onnx RUN"),
    "onnx-int8": Form("onnx-int8", "*.onnx", _onnx, _coarse, "tclip export onnx RUN --beside"),
    "onnx-float": Form(
        "onnx-float", "*.onnx", _onnx, _rounded, "tclip export onnx RUN --activations float --beside"
    ),
    "onnx-nbits": Form(
        "onnx-nbits", "*.onnx", _onnx, _coarse, "tclip export onnx RUN --format nbits --beside"
    ),
    "web": Form("web", "*.onnx", _onnx, _coarse, "tclip export web RUN"),
    "gguf": Form("gguf", "*.gguf", _opened(open_gguf), _float, "tclip export gguf RUN"),
    **{
        name: Form(
            format.folder,
            "*.safetensors",
            _opened(format.open),
            _rounded if name == "bitnet" else _float,
            f"tclip export transformers RUN --format {name}",
        )
        for name, format in FORMATS.items()
    },
}


def onnx_form(settings: Onnx) -> str:
    """Return the name of the form that ONNX files of such settings have beside RUN/onnx."""
    return "onnx-nbits" if settings.format == "nbits" else f"onnx-{settings.activations}"


def forms_in(run: Run) -> list[str]:
    """Return the names of the forms that a run holds and that must agree.

    Where the recipe trains, the model before training is another model.
    """
    other = "calibrated" if run.recipe.train else "trained"
    return [name for name, form in FORMS.items() if name != other and form.is_in(run)]


def chosen(run: Run, names: list[str]) -> list[str]:
    """Return the forms to compare: those named, else all that the run holds.

    Raises:
        ModelError: a name is unknown, or the run does not hold it.
    """
    unknown = [name for name in names if name not in FORMS]
    if unknown:
        raise ModelError(unknown_name("form", unknown[0], FORMS))
    missing = [name for name in names if not FORMS[name].is_in(run)]
    if missing:
        made = ", ".join(f"`{FORMS[name].make.replace('RUN', str(run.folder))}`" for name in missing)
        raise ModelError(f"{run.folder} has no {', '.join(missing)}: write it with {made}.")
    return names or forms_in(run)
