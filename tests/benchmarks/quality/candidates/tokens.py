"""Fewer tokens of an image in the first two thirds of training, all of them in the last.

M images, T tokens, D the width, H heads, K a head's width; A every second token from the first (the class
token among them), B the others.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tclip.data.loader import Batch
from tclip.distill.loop import Rows, Trainer
from tclip.models.clip import Inputs

BRIEF = 2 / 3  # of the steps


class FewerPixels(Trainer):
    """Images of a lower resolution, positions interpolated (CLIPA, arXiv 2305.07017). CLIP's towers only."""

    side = 5 / 7  # 80 pixels of 112, 160 of 224: whole patches of 16
    done = 0.0  # share of the steps

    def _step(self, batch: Batch, progress: float) -> tuple[dict[str, float], float]:
        self.done = progress
        return super()._step(batch, progress)

    def _embeddings(self, batch: Batch, images: Inputs, texts: Inputs) -> tuple[Rows, Rows]:
        if self.done >= BRIEF:
            return super()._embeddings(batch, images, texts)
        patch = self.student.model.config.vision_config.patch_size
        pixels = images["pixel_values"]
        side = max(patch, round(self.side * pixels.shape[-1] / patch) * patch)
        small = nn.functional.interpolate(pixels, size=(side, side), mode="bicubic", antialias=True)
        interpolating = torch.tensor(True)
        return super()._embeddings(
            batch, images | {"pixel_values": small, "interpolate_pos_encoding": interpolating}, texts
        )


class Merging(Trainer):
    """Two tokens a block are merged with those whose keys are nearest (ToMe, arXiv 2210.09461). CLIP only."""

    merged = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.now = 0
        self.sizes: Tensor = torch.empty(0)
        for index, layer in enumerate(self.student.model.vision_model.encoder.layers):
            layer.forward = self._forward(layer, index, layer.forward)

    def _step(self, batch: Batch, progress: float) -> tuple[dict[str, float], float]:
        self.now = self.merged if progress < BRIEF else 0
        return super()._step(batch, progress)

    def _forward(self, layer: nn.Module, index: int, whole: Callable[..., Any]) -> Callable[..., Any]:
        def forward(x_MTD: Tensor, *args: Any, **options: Any) -> Any:
            if not self.now:
                return whole(x_MTD, *args, **options)
            if index == 0:
                self.sizes = torch.ones(*x_MTD.shape[:2], 1, device=x_MTD.device)
            attended_MTD, key_MTK = _attend(layer, x_MTD, self.sizes)
            if x_MTD.shape[1] > 2 * self.now + 2:
                attended_MTD, self.sizes = merge(attended_MTD.float(), key_MTK, self.sizes, self.now)
            return attended_MTD + layer.mlp(layer.layer_norm2(attended_MTD))

        return forward


def _attend(layer: Any, x_MTD: Tensor, sizes_MT1: Tensor) -> tuple[Tensor, Tensor]:
    """Return a block's first half, where a merged token counts as often as it has parts, and mean keys."""
    attention = layer.self_attn
    images, tokens, width = x_MTD.shape
    normed_MTD = layer.layer_norm1(x_MTD)
    query_MHTK, key_MHTK, value_MHTK = (
        project(normed_MTD).view(images, tokens, attention.num_heads, -1).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    often_M11T = sizes_MT1.log().transpose(1, 2)[:, None].to(query_MHTK.dtype)
    mixed_MHTK = nn.functional.scaled_dot_product_attention(
        query_MHTK, key_MHTK, value_MHTK, attn_mask=often_M11T.expand(-1, 1, tokens, -1)
    )
    out_MTD = attention.out_proj(mixed_MHTK.transpose(1, 2).reshape(images, tokens, width))
    return x_MTD + out_MTD, key_MHTK.mean(1).detach().float()


def merge(
    x_MTD: Float[Tensor, "M T D"], key_MTK: Float[Tensor, "M T K"], size_MT1: Float[Tensor, "M T 1"], num: int
) -> tuple[Float[Tensor, "M t D"], Float[Tensor, "M t 1"]]:
    """Merge the `num` tokens of A that are nearest to one of B with it, weighted by how many each stands for.

    Returns:
        The tokens that are left, those of A first and the class token before all, and what they stand for.
    """
    key_MTK = nn.functional.normalize(key_MTK, dim=-1)
    near_MAB = key_MTK[:, ::2] @ key_MTK[:, 1::2].transpose(1, 2)
    near_MAB[:, 0] = -2  # the class token stays
    best_MA, partner_MA = near_MAB.max(-1)
    order_MA = best_MA.argsort(-1, descending=True)
    gone, left = order_MA[:, :num, None], order_MA[:, num:].sort(-1).values[..., None]
    into = partner_MA[..., None].gather(1, gone)
    return _mean(x_MTD * size_MT1, size_MT1, gone, left, into)


def _mean(
    sum_MTD: Tensor, size_MT1: Tensor, gone: Tensor, left: Tensor, into: Tensor
) -> tuple[Tensor, Tensor]:
    joined = []
    for x_MTD in (sum_MTD, size_MT1):
        wide = (-1, -1, x_MTD.shape[-1])
        a_MAD, b_MBD = x_MTD[:, ::2], x_MTD[:, 1::2]
        b_MBD = b_MBD.scatter_add(1, into.expand(wide), a_MAD.gather(1, gone.expand(wide)))
        joined.append(torch.cat([a_MAD.gather(1, left.expand(wide)), b_MBD], 1))
    return joined[0] / joined[1], joined[1]
