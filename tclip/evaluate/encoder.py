"""What can be measured: anything that turns images and texts into embeddings.

B batch, E embedding.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from tclip.errors import ModelError

T = TypeVar("T")
Embeddings = Tensor | np.ndarray
Inputs = dict[str, Tensor]


@runtime_checkable  # for the shape-and-type checks of the tests
class Encoder(Protocol):
    """A dual encoder: L2-normalised embeddings [B, E] as torch or numpy arrays."""

    def embed_images(self, images: list[Image.Image]) -> Embeddings:
        """Return the embeddings of RGB images."""

    def embed_texts(self, texts: list[str]) -> Embeddings:
        """Return the embeddings of texts."""


@runtime_checkable  # for the shape-and-type checks of the tests
class ClipLike(Protocol):
    """What ClipEncoder needs of a `tclip.models.clip.Clip`."""

    def preprocess(self, images: list[Image.Image]) -> Inputs:
        """Turn images into the image tower's inputs."""

    def tokenize(self, texts: list[str], max_tokens: int | None = None) -> Inputs:
        """Turn texts into the text tower's inputs."""

    def embed_images(self, inputs: Inputs) -> Tensor:
        """Return image embeddings."""

    def embed_texts(self, inputs: Inputs) -> Tensor:
        """Return text embeddings."""


class ClipEncoder:
    """A Clip as an Encoder; texts are cut where the text tower ends, or at `max_tokens`."""

    def __init__(self, clip: ClipLike, max_tokens: int | None = None) -> None:
        self.clip = clip
        self.max_tokens = max_tokens

    @torch.inference_mode()
    def embed_images(self, images: list[Image.Image]) -> Float[Tensor, "B E"]:
        """Return the embeddings of RGB images."""
        return self.clip.embed_images(self.clip.preprocess(images))

    @torch.inference_mode()
    def embed_texts(self, texts: list[str]) -> Float[Tensor, "B E"]:
        """Return the embeddings of texts."""
        return self.clip.embed_texts(self.clip.tokenize(texts, max_tokens=self.max_tokens))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def embed(function: Callable[[Any], Embeddings], batch: Sequence[Any]) -> Float[Tensor, "B E"]:
    """Run an encoder's function on one batch and return float32 embeddings on the CPU.

    Raises:
        ModelError: an embedding is not finite; comparing NaN would count every answer as right.
    """
    embeddings_BE = torch.as_tensor(function(list(batch))).detach().to("cpu", torch.float32)
    if not torch.isfinite(embeddings_BE).all():
        raise ModelError(
            "The model's embeddings are not finite numbers (NaN or infinity): it is damaged or overflows."
        )
    return embeddings_BE


def embed_all(function: Callable[[Any], Embeddings], items: Sequence[Any], size: int) -> Float[Tensor, "N E"]:
    """Embed a sequence in batches."""
    return torch.cat([embed(function, batch) for batch in batched(items, size)])
