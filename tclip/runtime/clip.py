"""A packed CLIP that answers without torch.

B batch, C channels, E embedding, H height, L labels, W width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tclip.errors import DataError, ModelError

if TYPE_CHECKING:
    from tclip.runtime.images import ImageReader, Picture
    from tclip.runtime.texts import TextReader

ImageExecutor = Callable[[np.ndarray], np.ndarray]
TextExecutor = Callable[[Sequence[np.ndarray]], np.ndarray]
Tower = Literal["image", "text"]
MOST_AT_ONCE = 64  # pictures whose pixels are in memory together
TEMPLATE = "a photo of a {}."


@dataclass(frozen=True)
class RuntimeClip:
    """A packed CLIP; `tclip.runtime.load` makes it. Every method may be called from several threads at once.

    Attributes:
        name: what it was loaded as.
        identity: a hash of its files, the same for the same model anywhere: a key for caches.
        path: what runs it: an instruction set, or "numpy".
        num_threads: most threads that one call uses.
        embedding_size: E.
        image_size: side of the pictures that the image tower takes, in pixels; None without that tower.
        logit_scale: similarities are multiplied by it.
        logit_bias: added to them; 0 for all but SigLIP.
        sigmoid: whether labels are judged each by itself (SigLIP) or against each other.
    """

    name: str
    identity: str
    path: str
    num_threads: int
    embedding_size: int
    image_size: int | None
    logit_scale: float
    logit_bias: float
    sigmoid: bool
    _read_images: "ImageReader | None"
    _run_images: ImageExecutor | None
    _read_texts: "TextReader | None"
    _run_texts: TextExecutor | None

    def encode_image(self, images: "Picture | Sequence[Picture]") -> np.ndarray:
        """Return embeddings [B, E] of pictures, float32, L2-normalised.

        Args:
            images: paths, encoded bytes or PIL images of any mode; or one of them.

        Raises:
            DataError: pictures that are missing or cannot be read, all of them named.
            ModelError: the image tower was not loaded.
        """
        read, _ = self._image_tower()
        pictures = _listed(images)
        parts = [
            self.encode_pixels(read(pictures[first : first + MOST_AT_ONCE]))
            for first in range(0, len(pictures), MOST_AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.embedding_size), np.float32)

    def encode_pixels(self, pixel_BCHW: np.ndarray) -> np.ndarray:
        """Return embeddings [B, E] of float32 pixels [B, C, H, W] that `pixels` or a preprocessor made."""
        _, run = self._image_tower()
        return _normalised(run(pixel_BCHW))

    def pixels(self, images: "Sequence[Picture]") -> np.ndarray:
        """Return the image tower's input, float32 [B, C, H, W]; errors as for `encode_image`."""
        read, _ = self._image_tower()
        return read(images)

    def try_pixels(self, images: "Sequence[Picture]") -> "list[np.ndarray | str]":
        """Return pixels [C, H, W] of each picture, or one line that says why it cannot be read."""
        read, _ = self._image_tower()
        return read.try_each(images)

    def encode_text(self, texts: str | Sequence[str]) -> np.ndarray:
        """Return embeddings [B, E] of texts, or of one text, float32, L2-normalised.

        Texts longer than the tower are cut.

        Raises:
            ModelError: the text tower was not loaded, or its vocabulary is missing or damaged.
        """
        read, _ = self._text_tower()
        return self.encode_ids(read([texts] if isinstance(texts, str) else texts))

    def ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the text tower's input: token ids of each text, int32; errors as for `encode_text`."""
        read, _ = self._text_tower()
        return read(texts)

    def encode_ids(self, ids: Sequence[np.ndarray]) -> np.ndarray:
        """Return embeddings [B, E] of token ids, int32, one array a text; the last id of each is pooled."""
        _, run = self._text_tower()
        return _normalised(run(ids))

    def logits(self, image_BE: np.ndarray, text_LE: np.ndarray) -> np.ndarray:
        """Return scaled similarities [B, L]: exp(logit_scale) cos, plus SigLIP's bias."""
        return np.float32(self.logit_scale) * (image_BE @ text_LE.T) + np.float32(self.logit_bias)

    def probabilities(self, image_BE: np.ndarray, text_LE: np.ndarray) -> np.ndarray:
        """Return how likely each text is for each image [B, L]: a softmax, or SigLIP's sigmoid of each."""
        logits_BL = self.logits(image_BE, text_LE).astype(np.float64)
        if self.sigmoid:
            return 1 / (1 + np.exp(-np.clip(logits_BL, -700, 700)))
        weights_BL = np.exp(logits_BL - logits_BL.max(1, keepdims=True))
        return weights_BL / weights_BL.sum(1, keepdims=True)

    def classify(
        self, images: "Picture | Sequence[Picture]", labels: Sequence[str], template: str = TEMPLATE
    ) -> dict[str, float] | list[dict[str, float]]:
        """Return label -> probability of one picture, the most likely first; for a list of pictures, a list.

        Args:
            images: a path, encoded bytes or a PIL image; or a list of them.
            labels: different from each other, at least one.
            template: a text with {} where the label goes.

        Raises:
            DataError: no label, a label twice, a template without {}, or pictures that cannot be read.
            ModelError: a tower was not loaded.
        """
        text_LE = self.encode_text(prompts(labels, template))
        probability_BL = self.probabilities(self.encode_image(images), text_LE)
        order_BL = np.argsort(-probability_BL, axis=1, kind="stable")
        answers = [
            {labels[index]: float(probability_L[index]) for index in order_L}
            for probability_L, order_L in zip(probability_BL, order_BL, strict=True)
        ]
        return answers[0] if _is_one(images) else answers

    def _image_tower(self) -> "tuple[ImageReader, ImageExecutor]":
        if self._read_images is None or self._run_images is None:
            raise self._not_loaded("image")
        return self._read_images, self._run_images

    def _text_tower(self) -> "tuple[TextReader, TextExecutor]":
        if self._read_texts is None or self._run_texts is None:
            raise self._not_loaded("text")
        return self._read_texts, self._run_texts

    def _not_loaded(self, tower: Tower) -> ModelError:
        return ModelError(
            f"The {tower} tower of {self.name} was not loaded: "
            f'load it with towers="both" or towers="{tower}".'
        )


def prompts(labels: Sequence[str], template: str = TEMPLATE) -> list[str]:
    """Return the template filled with each label.

    Raises:
        DataError: no label, a label twice, or a template without {}.
    """
    twice = sorted({label for label in labels if list(labels).count(label) > 1})
    if not labels or twice:
        raise DataError(
            f"Give each label once: {', '.join(twice)} is there twice."
            if twice
            else "Give at least one label."
        )
    if "{}" not in template:
        raise DataError(f'The template "{template}" has no {{}}, where the label would go.')
    return [template.replace("{}", label) for label in labels]


def _is_one(images: Any) -> bool:
    return isinstance(images, str | bytes | Path) or hasattr(images, "getbands")


def _listed(images: Any) -> list[Any]:
    return [images] if _is_one(images) else list(images)


def _normalised(features_BE: np.ndarray) -> np.ndarray:
    norms_B1 = np.linalg.norm(features_BE, axis=1, keepdims=True)
    return features_BE / np.maximum(norms_B1, np.float32(1e-12))
