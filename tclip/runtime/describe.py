"""From config.json and a mapped file to the towers of a model; what cannot be run is refused by name.

D width of a token, I inputs, N positions, O outputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from tclip.errors import FormatError, ModelError
from tclip.models.families import FAMILIES
from tclip.packed.format import CODES, SCALE
from tclip.runtime.coded import coded_matrix
from tclip.runtime.mapped import MappedFile
from tclip.runtime.weights import (
    ActivationName,
    Attention,
    AttentionPool,
    Block,
    ImageTower,
    Linear,
    Matrix,
    Mlp,
    Norm,
    TextTower,
)

ACTIVATIONS: dict[str, ActivationName] = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}
# transformers' names of a tower's type: whether it is SigLIP's kind
IMAGE_TYPES = {
    "clip_vision_model": False,
    "metaclip_2_vision_model": False,
    "chinese_clip_vision_model": False,
    "altclip_vision_model": False,
    "siglip_vision_model": True,
}
TEXT_TYPES = {"clip_text_model": False, "metaclip_2_text_model": False, "siglip_text_model": True}


@dataclass(frozen=True)
class Towers:
    """Reads the towers of one packed model.

    Attributes:
        config: the parsed config.json.
        file: its mapped weights.
        where: the model's name, for messages.
    """

    config: Mapping[str, Any]
    file: MappedFile
    where: str

    def image(self) -> ImageTower:
        """Describe the image tower.

        Raises:
            ModelError: it is of a kind that the runtime does not run.
            FormatError: weights are missing, damaged, or do not fit the configuration.
        """
        part = self._part("vision_config", "image", IMAGE_TYPES)
        siglip, tower = IMAGE_TYPES[str(part.config["model_type"])], "vision_model"
        if siglip and part.config.get("vision_use_head") is False:
            raise ModelError(
                f"{self.where} has a SigLIP image tower without its pooling head, which the runtime does not "
                "run: use it with torch."
            )
        size, patch_size = part.number("image_size"), part.number("patch_size")
        positions_ND = self._floats(f"{tower}.embeddings.position_embedding.weight", 2)
        if len(positions_ND) != (size // patch_size) ** 2 + (not siglip):
            raise ModelError(
                f"{self.where} has positions for {len(positions_ND)} tokens, but pictures of {size} pixels "
                f"in patches of {patch_size} need others: positions are not interpolated, keep the image "
                "size that it was made for."
            )
        return ImageTower(
            channels=part.number("num_channels", 3),
            image_size=size,
            patch_size=patch_size,
            patch=self._linear(f"{tower}.embeddings.patch_embedding"),
            class_D=None if siglip else self._floats(f"{tower}.embeddings.class_embedding", 1),
            position_ND=positions_ND,
            norm_in=None if siglip else part.norm(f"{tower}.pre_layrnorm"),
            blocks=part.blocks(tower),
            norm_out=part.norm(f"{tower}.post_layernorm"),
            pool=part.pool(f"{tower}.head") if siglip else None,
            projection=None if siglip else self._linear("visual_projection"),
        )

    def text(self) -> TextTower:
        """Describe the text tower; errors as for `image`."""
        part = self._part("text_config", "text", TEXT_TYPES)
        siglip, tower = TEXT_TYPES[str(part.config["model_type"])], "text_model"
        return TextTower(
            table=self._matrix(f"{tower}.embeddings.token_embedding.weight"),
            position_ND=self._floats(f"{tower}.embeddings.position_embedding.weight", 2),
            causal=not siglip,
            blocks=part.blocks(tower),
            norm_out=part.norm(f"{tower}.final_layer_norm"),
            projection=self._linear(f"{tower}.head" if siglip else "text_projection"),
        )

    def scale_and_bias(self) -> tuple[float, float]:
        """Return exp(logit_scale) and logit_bias (0 where there is none).

        Raises:
            FormatError: one is not a number, or the scale is too large for one.
        """
        with np.errstate(over="ignore"):
            scale = float(np.exp(self._float("logit_scale")))
        if not np.isfinite(scale):
            raise self.file.damaged("logit_scale is too large")
        return scale, float(self._float("logit_bias")) if "logit_bias" in self.file else 0.0

    @property
    def sigmoid(self) -> bool:
        """Whether labels are judged each by itself, as SigLIP was trained, not against each other."""
        return "logit_bias" in self.file

    def _part(self, key: str, tower: str, types: Mapping[str, bool]) -> "_Part":
        config = self.config.get(key)
        kind = str(config.get("model_type", "")) if isinstance(config, dict) else ""
        if not isinstance(config, dict) or kind not in types:
            family = FAMILIES.get(str(self.config.get("model_type")))
            raise ModelError(
                f"The {tower} tower of {self.where} ({family.title if family else 'unknown'}, "
                f'"{kind or "no model_type"}") cannot be run without torch: the runtime runs '
                f"{', '.join(types)}."
            )
        return _Part(self, config)

    def _float(self, name: str) -> np.float32:
        tensor = self.file.floats(name)
        if tensor.size != 1:
            raise self.file.damaged(f"{name} holds {tensor.size} numbers instead of 1")
        return tensor.reshape(-1)[0]

    def _floats(self, name: str, num_axes: int) -> np.ndarray:
        tensor = self.file.floats(name)
        if tensor.ndim != num_axes:
            raise self.file.damaged(f"{name} has {tensor.ndim} axes instead of {num_axes}")
        return tensor

    def _linear(self, prefix: str) -> Linear:
        bias = f"{prefix}.bias"
        return Linear(self._matrix(f"{prefix}.weight"), self._floats(bias, 1) if bias in self.file else None)

    def _matrix(self, name: str) -> Matrix:
        """A weight with its outputs on the first axis, all others flat."""
        shape = self.file.header.shapes.get(name)
        if shape is None:
            dense = self.file.finite(name)
            if dense.ndim < 2:
                raise self.file.damaged(f"{name} is no matrix")
            dense_OI = dense.reshape(dense.shape[0], prod(dense.shape[1:]))
            return Matrix((dense_OI.shape[0], dense_OI.shape[1]), dense_OI=dense_OI)
        codes, scale_RG = self.file.tensor(name + CODES), self._floats(name + SCALE, 2)
        try:
            return coded_matrix(name, shape, codes, scale_RG, self.file.header.bits.get(name))
        except ValueError as error:
            raise self.file.damaged(str(error)) from error


@dataclass(frozen=True)
class _Part:
    """One tower's layers, as its part of the configuration describes them."""

    towers: Towers
    config: Mapping[str, Any]

    def number(self, key: str, otherwise: int | None = None) -> int:
        value = self.config.get(key, otherwise)
        if type(value) is not int or value < 1:
            raise self._nonsense(key)
        return value

    def norm(self, prefix: str) -> Norm:
        floats = self.towers._floats
        eps = self.config.get("layer_norm_eps", 1e-5)
        if type(eps) not in (int, float) or not 0 <= eps < 1:
            raise self._nonsense("layer_norm_eps")
        return Norm(floats(f"{prefix}.weight", 1), floats(f"{prefix}.bias", 1), float(eps))

    def _nonsense(self, key: str) -> FormatError:
        return FormatError(
            f"The config.json of {self.towers.where} says {key} = {self.config.get(key)!r} for "
            f'"{self.config["model_type"]}": fetch or pack it again.'
        )

    def blocks(self, tower: str) -> tuple[Block, ...]:
        prefixes = [f"{tower}.encoder.layers.{index}" for index in range(self.number("num_hidden_layers"))]
        return tuple(self._block(prefix) for prefix in prefixes)

    def _block(self, prefix: str) -> Block:
        linear, attention = self.towers._linear, f"{prefix}.self_attn"
        return Block(
            self.norm(f"{prefix}.layer_norm1"),
            Attention(
                self.number("num_attention_heads"),
                linear(f"{attention}.q_proj"),
                linear(f"{attention}.k_proj"),
                linear(f"{attention}.v_proj"),
                linear(f"{attention}.out_proj"),
            ),
            self.norm(f"{prefix}.layer_norm2"),
            self._mlp(f"{prefix}.mlp"),
        )

    def _mlp(self, prefix: str) -> Mlp:
        name = str(self.config.get("hidden_act"))
        if name not in ACTIVATIONS:
            raise ModelError(
                f'{self.towers.where} uses the activation "{name}", which the runtime does not have: '
                f"it has {', '.join(ACTIVATIONS)}."
            )
        linear = self.towers._linear
        return Mlp(linear(f"{prefix}.fc1"), linear(f"{prefix}.fc2"), ACTIVATIONS[name])

    def pool(self, prefix: str) -> AttentionPool:
        towers = self.towers
        probe_D = towers.file.floats(f"{prefix}.probe").reshape(-1)
        fused = towers._matrix(f"{prefix}.attention.in_proj_weight")
        bias = towers._floats(f"{prefix}.attention.in_proj_bias", 1)
        width = fused.shape[0] // 3
        if fused.shape != (3 * len(probe_D), len(probe_D)) or len(bias) != 3 * len(probe_D):
            raise towers.file.damaged(f"{prefix}.attention.in_proj_weight does not fit the probe")
        query, key, value = (
            Linear(fused.rows(first, width), bias[first : first + width]) for first in (0, width, 2 * width)
        )
        out = towers._linear(f"{prefix}.attention.out_proj")
        attention = Attention(self.number("num_attention_heads"), query, key, value, out)
        return AttentionPool(probe_D, attention, self.norm(f"{prefix}.layernorm"), self._mlp(f"{prefix}.mlp"))
