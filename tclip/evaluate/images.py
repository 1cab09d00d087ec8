"""The images of an evaluation set: streamed, decoded ahead in threads, and only their embeddings kept.

M images, E embedding.
"""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tclip.data.eval_sets import EvalSample, EvalSet
from tclip.data.prefetch import map_ahead, prefetch
from tclip.data.sample import digest
from tclip.errors import DataError
from tclip.evaluate.encoder import Encoder, batched, embed, image_tower

Progress = Callable[[int], object]  # called with the number of images done so far
DECODERS = 8  # threads at most


@dataclass(frozen=True)
class Embedded:
    """The images of a set.

    Attributes:
        embedding_ME: of each image.
        samples: their samples, without the bytes.
        digest: identifies the images by their bytes.
        per_second: images, reading and decoding included.
    """

    embedding_ME: Float[Tensor, "M E"]
    samples: list[EvalSample]
    digest: str
    per_second: float


def embed_images(
    encoder: Encoder, eval_set: EvalSet, batch_size: int, limit: int | None, progress: Progress | None
) -> Embedded:
    """Embed the images of a set, no more than the first `limit`.

    Raises:
        DataError: the set is empty, or a sample of it is broken.
        ModelError: embeddings are not finite.
    """
    tower, began = image_tower(encoder), time.monotonic()

    def prepare(batch: list[EvalSample]) -> tuple[list[EvalSample], list[str], Any]:
        # The encoded images are let go here, or they would pile up beside the embeddings.
        hashes = [hashlib.blake2b(each.image_bytes, digest_size=16).hexdigest() for each in batch]
        inputs = tower.prepare(each.image() for each in batch)
        return [each.without_image() for each in batch], hashes, inputs

    batches = prefetch(batched(islice(eval_set, limit), batch_size))
    embeddings, samples, hashes = list[Tensor](), list[EvalSample](), list[str]()
    for some, their_hashes, inputs in map_ahead(prepare, batches, min(DECODERS, os.cpu_count() or 1)):
        embeddings.append(embed(tower.embed, inputs))
        samples += some
        hashes += their_hashes
        if progress is not None:
            progress(len(samples))
    if not embeddings:
        raise DataError(f'"{eval_set.spec}" has no samples in {eval_set.split}.')
    per_second = len(samples) / (time.monotonic() - began)
    return Embedded(torch.cat(embeddings), samples, digest(*hashes), per_second)
