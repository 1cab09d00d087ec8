"""A CLIP in memory: its model, what turns pictures and texts into its inputs, and what is known about it.

B batch, C channels, H height, W width, T tokens, N all positions, E embedding, L classes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor, nn

from tclip.models.families import FAMILIES, Family
from tclip.models.preprocessor import Preprocessor
from tclip.models.source import ModelSource
from tclip.ternary.tensor import CodedTensor, IntTensor, TernaryTensor

Inputs = dict[str, Tensor]


@dataclass
class Clip:
    """A dual encoder of any supported family behind one interface.

    Attributes:
        model: the stock transformers model, float32.
        tokenizer: its tokenizer.
        image_processor: its PIL image processor.
        source: where it came from.
        ternary: codes and scales of its ternary weights by parameter name; the model holds their
            dense products. Empty for an ordinary model.
        ints: the same of weights that keep 4 or 8 bits; they compute as float ones do, and their layers
            never round their inputs.
        activations: "int8" if its ternary layers round their inputs, else "float".
        base: for one read from a packed folder, the model that it was made from.
    """

    model: Any
    tokenizer: Any
    image_processor: Any
    source: ModelSource
    ternary: dict[str, TernaryTensor] = field(default_factory=dict)
    ints: dict[str, IntTensor] = field(default_factory=dict)
    activations: str = "float"
    base: ModelSource | None = None

    @property
    def coded(self) -> dict[str, CodedTensor]:
        """All weights that are codes and scales, ternary or not, by parameter name."""
        return {**self.ternary, **self.ints}

    @property
    def family(self) -> Family:
        """The family, which knows what the common interface leaves open."""
        return FAMILIES[self.model.config.model_type]

    @property
    def device(self) -> torch.device:
        """Where the model's weights lie."""
        return next(self.model.parameters()).device

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied by to make logits."""
        return float(self.model.logit_scale.detach().exp())

    @cached_property
    def max_tokens(self) -> int:
        """The longest text, in tokens, that the text tower has positions for."""
        tables = [
            module
            for name, module in self.model.text_model.named_modules()
            if isinstance(module, nn.Embedding)
            and name.endswith(("position_embedding", "position_embeddings"))
        ]
        # RoBERTa counts positions from behind the padding id
        positions = [
            table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
            for table in tables
        ]
        longest = min(positions, default=self.model.config.text_config.max_position_embeddings)
        return min(int(longest), int(self.tokenizer.model_max_length))

    @property
    def preprocessor(self) -> Preprocessor:
        """What `preprocess` is done with, without the model."""
        return Preprocessor(self.image_processor, self.family)

    def preprocess(self, images: Iterable[Image.Image]) -> Inputs:
        """Turn PIL images of any mode into the image tower's inputs, a few images at a time.

        Transparent pixels become white. Returns pixel_values [B, C, H, W]; for SigLIP 2 patches,
        their mask and the shape of each image in patches.
        """
        return self.preprocessor(images)

    def pixels(self, images: Iterable[Image.Image]) -> UInt8[Tensor, "B H W C"]:
        """Turn PIL images of any mode into bytes of the image tower's size, not yet rescaled or normalised.

        For a family that has pictures of one size, not SigLIP 2.
        """
        return self.preprocessor.pixels(images)

    def tokenize(self, texts: list[str], max_tokens: int | None = None) -> Inputs:
        """Turn texts into input_ids [B, T] and, where the family wants it, attention_mask [B, T].

        T is the longest of the batch, or always all positions of the tower where the family pools
        the last one. Texts longer than `max_tokens` (default: all positions) are cut; the end token stays.
        """
        encoded = self.tokenizer(
            texts,
            padding="longest",
            truncation=True,
            max_length=min(max_tokens or self.max_tokens, self.max_tokens),
            return_tensors="pt",
        )
        if self.family.pads_to_maximum:
            return {"input_ids": self._padded(encoded["input_ids"])}
        names = ("input_ids", "attention_mask") if self.family.text_mask else ("input_ids",)
        return {name: encoded[name] for name in names}

    def real_tokens(self, inputs: Inputs) -> Bool[Tensor, "B T"]:
        """Return which tokens of `tokenize`'s answer are read: all but the padding behind a text's end.

        A family that pads every text to the tower's length reads the padding too.
        """
        ids_BT = inputs["input_ids"]
        if self.family.pads_to_maximum:
            return torch.ones_like(ids_BT, dtype=torch.bool)
        if "attention_mask" in inputs:
            return inputs["attention_mask"].bool()
        ends_BT = ids_BT == self.tokenizer.eos_token_id
        return ends_BT.cumsum(-1) - ends_BT.long() == 0

    def embed_images(self, inputs: Inputs) -> Float[Tensor, "B E"]:
        """Return L2-normalised image embeddings; gradients flow where they are enabled."""
        return _normalised(self.model.get_image_features(**self._on_device(inputs)).pooler_output)

    def embed_texts(self, inputs: Inputs) -> Float[Tensor, "B E"]:
        """Return L2-normalised text embeddings; gradients flow where they are enabled."""
        return _normalised(self.model.get_text_features(**self._on_device(inputs)).pooler_output)

    def logits(self, image_BE: Float[Tensor, "B E"], text_LE: Float[Tensor, "L E"]) -> Float[Tensor, "B L"]:
        """Return scaled similarities: exp(logit_scale) cos, plus SigLIP's logit_bias."""
        logits_BL = self.model.logit_scale.exp() * image_BE @ text_LE.T
        bias = getattr(self.model, "logit_bias", None)
        return logits_BL if bias is None else logits_BL + bias

    def _padded(self, ids_BT: Int[Tensor, "B T"]) -> Int[Tensor, "B N"]:
        missing = self.max_tokens - ids_BT.shape[1]
        before_after = (0, missing) if self.tokenizer.padding_side == "right" else (missing, 0)
        return nn.functional.pad(ids_BT, before_after, value=self.tokenizer.pad_token_id)

    def _on_device(self, inputs: Inputs) -> Inputs:
        return {name: tensor.to(self.device) for name, tensor in inputs.items()}


def _normalised(features_BE: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features_BE.float(), dim=-1)
