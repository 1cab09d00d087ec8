"""Towers of random weights of every kind that the runtime runs.

D width, E embedding, G groups of inputs, I inputs, O outputs.
"""

from dataclasses import dataclass

import numpy as np

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

POWERS = {2: (81, 27, 9, 3, 1), 4: (16, 1), 8: (1,)}  # of the digits in a byte, by the bits of a code


def largest(bits: int) -> int:
    """Return the largest code."""
    return 2 ** (bits - 1) - 1


def packed(codes: np.ndarray, bits: int = 2) -> np.ndarray:
    """Pack codes as docs/format.md says, ternary ones five a byte."""
    zero, powers = largest(bits) + (bits > 2), POWERS[bits]
    digits = codes.reshape(-1).astype(np.int64) + zero
    filled = np.concatenate([digits, np.full(-len(digits) % len(powers), zero)])
    return (filled.reshape(-1, len(powers)) @ np.array(powers)).astype(np.uint8)


@dataclass
class Maker:
    """Makes layers of random weights.

    Attributes:
        seed: of the random numbers.
        kind: "row", "tensor", "group:N" for ternary weights, "bits:4", "bits:8", or "float16", "float32".
    """

    seed: int = 0
    kind: str = "row"

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def matrix(self, outputs: int, inputs: int) -> Matrix:
        if self.kind.startswith("float"):
            dense = self.random.normal(0, inputs**-0.5, (outputs, inputs)).astype(self.kind)
            return Matrix((outputs, inputs), dense_OI=dense)
        groups = 1
        if self.kind.startswith("group:"):
            size = int(self.kind.removeprefix("group:"))
            groups = inputs // size if inputs % size == 0 else 1
        scale_OG = self.random.uniform(0.5, 2, (outputs, groups)).astype(np.float32) * inputs**-0.5
        if self.kind == "tensor":
            scale_OG[:] = scale_OG[0, 0]
        skipped = int(self.random.integers(0, 9))  # a matrix may begin anywhere in its bytes
        bits = int(self.kind.removeprefix("bits:")) if self.kind.startswith("bits:") else 2
        codes = self.random.integers(-largest(bits), largest(bits) + 1, skipped + outputs * inputs)
        return Matrix((outputs, inputs), None, packed(codes, bits), bits, skipped, scale_OG / largest(bits))

    def floats(self, *shape: int) -> np.ndarray:
        return self.random.normal(size=shape).astype(np.float32)

    def linear(self, outputs: int, inputs: int, bias: bool = True) -> Linear:
        return Linear(self.matrix(outputs, inputs), 0.1 * self.floats(outputs) if bias else None)

    def norm(self, width: int) -> Norm:
        return Norm(1 + 0.1 * self.floats(width), 0.1 * self.floats(width), 1e-5)

    def attention(self, width: int, heads: int) -> Attention:
        return Attention(heads, *(self.linear(width, width) for _ in range(4)))

    def mlp(self, width: int, activation: ActivationName = "quick_gelu") -> Mlp:
        return Mlp(self.linear(3 * width, width), self.linear(width, 3 * width), activation)

    def block(self, width: int, heads: int, activation: ActivationName = "quick_gelu") -> Block:
        return Block(
            self.norm(width), self.attention(width, heads), self.norm(width), self.mlp(width, activation)
        )

    def image_tower(
        self,
        width: int = 48,
        heads: int = 3,
        num_blocks: int = 2,
        image_size: int = 28,
        patch_size: int = 7,
        embedding: int = 20,
        activation: ActivationName = "quick_gelu",
        siglip: bool = False,
    ) -> ImageTower:
        """CLIP's kind (class token, norm before the blocks) or SigLIP's (attention pooling)."""
        tokens = (image_size // patch_size) ** 2 + (not siglip)
        pool = AttentionPool(
            self.floats(width), self.attention(width, heads), self.norm(width), self.mlp(width, activation)
        )
        return ImageTower(
            channels=3,
            image_size=image_size,
            patch_size=patch_size,
            patch=self.linear(width, 3 * patch_size**2, bias=siglip),
            class_D=None if siglip else self.floats(width),
            position_ND=self.floats(tokens, width),
            norm_in=None if siglip else self.norm(width),
            blocks=tuple(self.block(width, heads, activation) for _ in range(num_blocks)),
            norm_out=self.norm(width),
            pool=pool if siglip else None,
            projection=None if siglip else self.linear(embedding, width, bias=False),
        )

    def text_tower(
        self,
        width: int = 48,
        heads: int = 3,
        num_blocks: int = 2,
        positions: int = 77,
        vocabulary: int = 99,
        embedding: int = 20,
        activation: ActivationName = "quick_gelu",
        causal: bool = True,
    ) -> TextTower:
        return TextTower(
            table=self.matrix(vocabulary, width),
            position_ND=self.floats(positions, width),
            causal=causal,
            blocks=tuple(self.block(width, heads, activation) for _ in range(num_blocks)),
            norm_out=self.norm(width),
            projection=self.linear(embedding, width, bias=not causal),
        )
