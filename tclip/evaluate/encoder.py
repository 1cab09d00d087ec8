"""What can be measured: anything that turns images and texts into embeddings.

B batch, N texts, U different texts, E embedding.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from tclip.data.prefetch import prefetch
from tclip.errors import ModelError
from tclip.models.preprocessor import in_parts

# Raise it when the same weights come to embed the same pictures or texts in another way: what was measured
# before is then measured anew.
EMBEDDING_VERSION = 2

T = TypeVar("T")
Embeddings = Tensor | np.ndarray
Inputs = dict[str, Tensor]


@runtime_checkable  # for the shape-and-type checks of the tests
class Encoder(Protocol):
    """A dual encoder: L2-normalised embeddings [B, E] as torch or numpy arrays.

    One that tells preparation and towers apart is a Split, one that knows how sure it is is Scaled.
    """

    def embed_images(self, images: list[Image.Image]) -> Embeddings:
        """Return the embeddings of RGB images."""

    def embed_texts(self, texts: list[str]) -> Embeddings:
        """Return the embeddings of texts."""


@runtime_checkable
class Split(Encoder, Protocol):
    """An encoder in two steps: what may be done ahead in other threads, and the towers themselves.

    `prepare_texts` is called in one thread at a time: tokenizers of Hugging Face refuse more.
    """

    def prepare_images(self, images: list[Image.Image]) -> Inputs:
        """Turn RGB images into the image tower's inputs."""

    def prepare_texts(self, texts: list[str]) -> Inputs:
        """Turn texts into the text tower's inputs."""

    def embed_image_inputs(self, inputs: Inputs) -> Embeddings:
        """Return the embeddings of prepared images."""

    def embed_text_inputs(self, inputs: Inputs) -> Embeddings:
        """Return the embeddings of prepared texts."""


@runtime_checkable
class Scaled(Protocol):
    """An encoder that knows what its cosines are multiplied by to make logits; None: it does not know.

    SigLIP's bias is the same for all classes and changes no share of theirs.
    """

    @property
    def logit_scale(self) -> float | None:
        """Return the factor, not its logarithm."""


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

    @property
    def logit_scale(self) -> float:
        """Return what cosines are multiplied by."""


class ClipEncoder:
    """A Clip as an Encoder; texts are cut where the text tower ends, or at `max_tokens`."""

    def __init__(self, clip: ClipLike, max_tokens: int | None = None) -> None:
        self.clip = clip
        self.max_tokens = max_tokens

    @property
    def logit_scale(self) -> float:
        """Return what its cosines are multiplied by to make logits."""
        return self.clip.logit_scale

    def prepare_images(self, images: list[Image.Image]) -> Inputs:
        """Turn RGB images into the image tower's inputs."""
        return self.clip.preprocess(images)

    def prepare_texts(self, texts: list[str]) -> Inputs:
        """Turn texts into the text tower's inputs."""
        return self.clip.tokenize(texts, max_tokens=self.max_tokens)

    @torch.inference_mode()
    def embed_image_inputs(self, inputs: Inputs) -> Float[Tensor, "B E"]:
        """Return the embeddings of prepared images."""
        return self.clip.embed_images(inputs)

    @torch.inference_mode()
    def embed_text_inputs(self, inputs: Inputs) -> Float[Tensor, "B E"]:
        """Return the embeddings of prepared texts."""
        return self.clip.embed_texts(inputs)

    def embed_images(self, images: list[Image.Image]) -> Float[Tensor, "B E"]:
        """Return the embeddings of RGB images."""
        return self.embed_image_inputs(self.prepare_images(images))

    def embed_texts(self, texts: list[str]) -> Float[Tensor, "B E"]:
        """Return the embeddings of texts."""
        return self.embed_text_inputs(self.prepare_texts(texts))


@dataclass(frozen=True)
class Tower:
    """One tower in two steps: `prepare`, for other threads to do ahead, and `embed`."""

    prepare: Callable[[Any], Any]
    embed: Callable[[Any], Embeddings]


def image_tower(encoder: Encoder) -> Tower:
    """Return how an encoder embeds images; one that is no Split does it all in the second step.

    `prepare` of a Split takes images as it needs them, so that a generator may decode them as it goes.
    """
    if isinstance(encoder, Split):
        return Tower(partial(in_parts, encoder.prepare_images), encoder.embed_image_inputs)
    return Tower(list, encoder.embed_images)


def text_tower(encoder: Encoder) -> Tower:
    """Return how an encoder embeds texts; one that is no Split does it all in the second step."""
    if isinstance(encoder, Split):
        return Tower(encoder.prepare_texts, encoder.embed_text_inputs)
    return Tower(list, encoder.embed_texts)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def embed(function: Callable[[Any], Embeddings], inputs: Any) -> Float[Tensor, "B E"]:
    """Run an encoder's function on one batch and return float32 embeddings on the CPU.

    Raises:
        ModelError: an embedding is not finite; comparing NaN would count every answer as right.
    """
    embeddings_BE = torch.as_tensor(function(inputs)).detach().to("cpu", torch.float32)
    if not torch.isfinite(embeddings_BE).all():
        raise ModelError(
            "The model's embeddings are not finite numbers (NaN or infinity): it is damaged or overflows."
        )
    return embeddings_BE


def embed_all(function: Callable[[Any], Embeddings], items: Sequence[Any], size: int) -> Float[Tensor, "N E"]:
    """Embed a sequence in batches."""
    return torch.cat([embed(function, batch) for batch in batched(items, size)])


def embed_all_texts(encoder: Encoder, texts: Sequence[str], size: int) -> Float[Tensor, "N E"]:
    """Embed texts in batches, while the next batch is made into tokens.

    Texts that are equal are embedded once: what else is in a batch decides the last bits of a sum, and with
    them which of two that should be equal is ranked first.
    """
    tower, place_of = text_tower(encoder), {text: place for place, text in enumerate(dict.fromkeys(texts))}
    ahead = prefetch(tower.prepare(batch) for batch in batched(place_of, size))
    distinct_UE = torch.cat([embed(tower.embed, inputs) for inputs in ahead])
    return distinct_UE[[place_of[text] for text in texts]]
