"""Running the exported files with ONNX Runtime.

B batch, E embedding.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from tclip.errors import ModelError
from tclip.export.onnx import IMAGE_FILE, TEXT_FILE
from tclip.export.pixels import PIXELS
from tclip.models.clip import Clip, Inputs
from tclip.models.fetch import fetch_config
from tclip.models.load import clip_from, empty_model

Embeddings = Float[np.ndarray, "B E"]


class OnnxClip:
    """An exported CLIP as an encoder; everything it needs lies in its folder.

    Args:
        folder: of export_onnx.
        threads: of ONNX Runtime for one operator; None: as many as there are cores.
        logit_scale: of the model that the files were made from, if it is known: they do not say.

    Raises:
        ModelError: the folder lacks a file.
    """

    def __init__(self, folder: Path, threads: int | None = None, logit_scale: float | None = None) -> None:
        self.image_session = open_session(folder / IMAGE_FILE, threads)
        self.text_session = open_session(folder / TEXT_FILE, threads)
        files = fetch_config(str(folder))
        # A model without weights, for what the family does with images and texts before they are embedded.
        self.clip: Clip = clip_from(files, empty_model(files, "meta"))
        self.logit_scale = logit_scale

    def prepare_images(self, images: list[Image.Image]) -> Inputs:
        """Turn images into the image encoder's inputs."""
        return image_inputs(self.clip, images, self.image_session)

    def prepare_texts(self, texts: list[str]) -> Inputs:
        """Turn texts into the text encoder's inputs."""
        return self.clip.tokenize(texts)

    def embed_image_inputs(self, inputs: Inputs) -> Embeddings:
        """Return the L2-normalised embeddings of prepared images."""
        return run(self.image_session, inputs)[0]

    def embed_text_inputs(self, inputs: Inputs) -> Embeddings:
        """Return the L2-normalised embeddings of prepared texts."""
        return run(self.text_session, inputs)[0]

    def embed_images(self, images: list[Image.Image]) -> Embeddings:
        """Return the L2-normalised embeddings of images."""
        return self.embed_image_inputs(self.prepare_images(images))

    def embed_texts(self, texts: list[str]) -> Embeddings:
        """Return the L2-normalised embeddings of texts."""
        return self.embed_text_inputs(self.prepare_texts(texts))


def open_session(model: Path | bytes, threads: int | None = None) -> Any:
    """Start an ONNX Runtime session on the CPU for a file, or for a model's bytes.

    Raises:
        ModelError: there is no such file.
    """
    import onnxruntime

    if isinstance(model, Path) and not model.is_file():
        raise ModelError(f"{model.parent} has no {model.name}: write it with `tclip export onnx RUN`.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    source = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def image_inputs(clip: Clip, images: list[Image.Image], session: Any) -> Inputs:
    """Turn images into what the image encoder of a session takes: normalised floats, or bytes."""
    takes_bytes = PIXELS in {value.name for value in session.get_inputs()}
    return {PIXELS: clip.pixels(images)} if takes_bytes else clip.preprocess(images)


def run(session: Any, inputs: Inputs, outputs: list[str] | None = None) -> list[np.ndarray]:
    """Run a session on tensors by input name; return the named outputs, by default all."""
    return session.run(outputs, {name: tensor.numpy() for name, tensor in inputs.items()})
