"""What the student learns from: the teacher's embeddings of a batch, from the cache where they are known.

M images, N texts, F the teacher's embedding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tclip.cache import cache_folder, cache_key
from tclip.data.loader import Batch
from tclip.distill.cache import EmbeddingCache
from tclip.distill.precision import Precision, computing_in
from tclip.models.clip import Clip, Inputs
from tclip.recipe.schema import Data

Embed = Callable[[Inputs], Tensor]


@dataclass
class Teacher:
    """A frozen CLIP, its embeddings cached where the recipe says so.

    Attributes:
        clip: the teacher, evaluation mode, no gradients.
        images, texts: caches of its two towers, or None.
        precision: what the student computes in too; what is cached is of one or the other.
    """

    clip: Clip
    images: EmbeddingCache | None = None
    texts: EmbeddingCache | None = None
    precision: Precision = "float32"

    @property
    def width(self) -> int:
        """Width of its embeddings."""
        return embedding_width(self.clip)

    @torch.no_grad()
    def embed(self, batch: Batch) -> tuple[Float[Tensor, "M F"], Float[Tensor, "N F"]]:
        """Return the teacher's embeddings of a batch's images and texts."""
        image_keys = [f"{key} {view}" for key, view in zip(batch.keys, batch.views, strict=True)]
        prefix = "teacher/"  # inputs of its own, where its preprocessing differs from the student's
        pixels = {name[len(prefix) :]: x for name, x in batch.images.items() if name.startswith(prefix)}
        image_MF = self._cached(self.images, image_keys, pixels or batch.images, self.clip.embed_images)
        tokens = {name[len(prefix) :]: x for name, x in batch.texts.items() if name.startswith(prefix)}
        text_NF = self._cached(self.texts, batch.captions, tokens or batch.texts, self.clip.embed_texts)
        return image_MF.to(self.clip.device), text_NF.to(self.clip.device)

    def _cached(self, cache: EmbeddingCache | None, keys: list[str], inputs: Inputs, embed: Embed) -> Tensor:
        with computing_in(self.precision, self.clip.device):
            if cache is None:
                return embed(inputs)
            return cache.get(keys, lambda missing: embed({name: x[missing] for name, x in inputs.items()}))


def make_teacher(
    clip: Clip, data: Data, fingerprint: str, *, seed: int, cached: bool, precision: Precision = "float32"
) -> Teacher:
    """Freeze a CLIP as teacher and open its caches.

    A cache belongs to the model's bytes, its precision, its preprocessing and the data; an image's key also
    names the crop, a text's where it was cut.

    Args:
        clip: the teacher.
        data: the recipe's data section.
        fingerprint: hash of the data themselves.
        seed: of the crops.
        cached: whether to keep embeddings on disk.
        precision: what it computes in.
    """
    clip.model.requires_grad_(False)
    if not cached:
        return Teacher(clip, precision=precision)
    model = {"id": clip.source.id, "revision": clip.source.revision, "commit": clip.source.commit}
    model["precision"] = precision
    pixels = clip.image_processor.to_dict()
    crops = {"views": data.views, "min_crop": data.min_crop, "seed": seed} if data.views > 1 else {}
    image_key = cache_key(tower="image", **model, preprocessing=str(pixels), data=fingerprint, **crops)
    text_key = cache_key(tower="text", **model, tokens=data.text_tokens, data=fingerprint)
    folder = cache_folder() / "teacher"
    images, texts = (EmbeddingCache(folder / f"{key}.sqlite") for key in (image_key, text_key))
    return Teacher(clip, images, texts, precision)


def embedding_width(clip: Clip) -> int:
    """Return the width of a CLIP's embeddings."""
    with torch.no_grad():
        return clip.embed_texts(clip.tokenize(["width"])).shape[-1]
