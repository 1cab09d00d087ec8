"""The formats in which stock transformers reads a model, each with its folder in a run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tclip.export.bitnet import export_bitnet, open_bitnet
from tclip.export.compressed import export_compressed, open_compressed
from tclip.export.dense import export_dense, open_dense
from tclip.export.onnx import WrittenFile
from tclip.models.clip import Clip


@dataclass(frozen=True)
class Format:
    """One format of stock transformers.

    Attributes:
        folder: where a run holds it, relative to RUN.
        export: writes a clip into a folder.
        open: opens (the format's folder, RUN/packed) again.
    """

    folder: str
    export: Callable[[Clip, Path], list[WrittenFile]]
    open: Callable[[Path, Path], Clip]


FORMATS: dict[str, Format] = {
    "dense": Format("transformers", export_dense, open_dense),
    "bitnet": Format("bitnet", export_bitnet, open_bitnet),
    "compressed": Format("compressed", export_compressed, open_compressed),
}
