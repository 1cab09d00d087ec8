"""The ways to run a packed CLIP that are compared: each takes the same inputs and gives embeddings.

B batch, C channels, H height, W width.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

RUNTIME = "tclip"
# name: the library that it needs
OTHERS = {
    "torch-float32": "torch",
    "torch-bfloat16": "torch",
    "onnx-int8": "onnxruntime",
    "onnx-float32": "onnxruntime",
    "onnx-nbits": "onnxruntime",
    "openvino-int8": "openvino",
    "openvino-float32": "openvino",
}
# which of the exported files a contender runs
ONNX_FORMS = {
    "onnx-int8": "int8",
    "onnx-float32": "float",
    "onnx-nbits": "nbits",
    "openvino-int8": "int8",
    "openvino-float32": "float",
}
# and how they are exported: the recipe's export.onnx
ONNX_SETTINGS = {
    "int8": {"activations": "int8"},
    "float": {"activations": "float"},
    "nbits": {"format": "nbits", "activations": "int8"},
}
Call = Callable[[], Any]
RunFile = Callable[[dict[str, np.ndarray]], Any]


@runtime_checkable  # for the shape-and-type checks of the tests
class Contender(Protocol):
    """One way to run a model; `call` gives a function that embeds one batch."""

    def call(self, tower: str, pixel_BCHW: np.ndarray, texts: list[str]) -> Call:
        """Return a function that embeds the pixels or the texts, whose inputs are ready before."""


class Runtime:
    """`tclip.runtime` by one of its paths."""

    def __init__(self, folder: Path, threads: int, path: str | None) -> None:
        from tclip.runtime import load

        self._clip = load(folder, num_threads=threads, path=path)

    def call(self, tower: str, pixel_BCHW: np.ndarray, texts: list[str]) -> Call:
        """See Contender."""
        if tower == "image":
            return lambda: self._clip.encode_pixels(pixel_BCHW)
        ids = self._clip.ids(texts)
        return lambda: self._clip.encode_ids(ids)


class Torch:
    """The model with dense weights in torch."""

    def __init__(self, folder: Path, threads: int, dtype: str) -> None:
        import torch

        from tclip.packed.load import load_packed

        torch.set_num_threads(threads)
        self._dtype = getattr(torch, dtype)
        self._clip = load_packed(folder)
        self._clip.activations = "float"
        for module in self._clip.model.modules():
            module._forward_pre_hooks.clear()  # the rounding of inputs is no part of a float model
        self._clip.model.to(self._dtype)

    def call(self, tower: str, pixel_BCHW: np.ndarray, texts: list[str]) -> Call:
        """See Contender."""
        import torch

        if tower == "image":
            inputs = {"pixel_values": torch.from_numpy(pixel_BCHW).to(self._dtype)}
            return torch.inference_mode()(lambda: self._clip.embed_images(inputs))
        tokens = self._clip.tokenize(texts)
        return torch.inference_mode()(lambda: self._clip.embed_texts(tokens))


class Onnx:
    """The exported files in ONNX Runtime or OpenVINO."""

    def __init__(self, folder: Path, threads: int, open_file: Callable[[Path, int], RunFile]) -> None:
        from tclip.export.onnx import IMAGE_FILE, TEXT_FILE
        from tclip.runtime.folder import read_json
        from tclip.runtime.texts import TextReader

        self._towers = {
            "image": open_file(folder / IMAGE_FILE, threads),
            "text": open_file(folder / TEXT_FILE, threads),
        }
        config = read_json(folder / "config.json", "model")["text_config"]
        self._reader = TextReader(folder, config, int(config["max_position_embeddings"]))

    def call(self, tower: str, pixel_BCHW: np.ndarray, texts: list[str]) -> Call:
        """See Contender."""
        run = self._towers[tower]
        if tower == "image":
            return lambda: run({"pixel_values": pixel_BCHW})
        ids = self._reader(texts)
        longest = max(map(len, ids))
        padded = np.stack([np.pad(each, (0, longest - len(each)), mode="edge") for each in ids])
        return lambda: run({"input_ids": padded.astype(np.int64)})


def _open_onnxruntime(file: Path, threads: int) -> RunFile:
    from tclip.export.session import open_session

    session = open_session(file, threads)
    return lambda inputs: session.run(None, inputs)


def _open_openvino(file: Path, threads: int) -> RunFile:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    return openvino.Core().compile_model(file, "CPU", settings)


OPENERS = {"onnxruntime": _open_onnxruntime, "openvino": _open_openvino}


def available() -> list[str]:
    """Return the names of the contenders that can run here, tclip's fastest path first."""
    return [RUNTIME, *(name for name, library in OTHERS.items() if find_spec(library))]


def open_contender(name: str, folder: Path, onnx_folder: Path | None, threads: int) -> Contender:
    """Load a contender.

    Args:
        name: one of `available()`, or "tclip:PATH" for one of `tclip.runtime.paths()`.
        folder: the packed model.
        onnx_folder: with a folder of exported files for each of ONNX_FORMS.
        threads: most threads that it uses.
    """
    if name.startswith(RUNTIME):
        return Runtime(folder, threads, name.partition(":")[2] or None)
    if name in ONNX_FORMS:
        assert onnx_folder is not None
        return Onnx(onnx_folder / ONNX_FORMS[name], threads, OPENERS[OTHERS[name]])
    return Torch(folder, threads, name.removeprefix("torch-"))
