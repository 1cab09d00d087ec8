"""Training of the embedded CLIP from scratch: naming of patches, then contrast with captions and foils.

On a small budget contrast alone is slow to find out what to look at, and stops at colours: a batch
seldom holds two scenes that only shapes tell apart. The drawing knows what stands where, so the image
tower's patches learn to name it, first alone and then beside contrast, through a head that is thrown away.
"""

# B batch, P patches, H height, W width, T tokens, D width of the tower.

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPModel

from tclip.demo.captions import claim, foil, phrase
from tclip.demo.draw import SIDE, Mark, arrange, paint
from tclip.demo.scenes import COLOURS, SHAPES, SIZES, sample_scene

Tokenize = Callable[[list[str]], Tensor]

BATCH = 64
PEAK_LR = 1.5e-3
WEIGHT_DECAY = 0.05
WARMUP = 0.02  # shares of the time
NAMING_ALONE = 0.25
NAMING_WEIGHT = 0.5
WRITE_EVERY = 180.0  # seconds
MAX_LOGIT_SCALE = math.log(100)
NAMES = (COLOURS, SHAPES, SIZES)  # of a patch; each with one more for "nothing"


@dataclass(frozen=True)
class Batch:
    """Scenes, their captions and foils, and what each patch shows: for colour, shape, size; 0: nothing."""

    pixels_BCHW: Float[Tensor, "B 3 H W"]
    texts: list[str]
    foils: list[str]
    names_BP3: Int[Tensor, "B P 3"]


class PatchNamer(nn.Module):
    """Says what each patch shows; used in training only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.read = nn.Linear(width, sum(len(names) + 1 for names in NAMES))

    def loss(self, patch_BPD: Float[Tensor, "B P D"], names_BP3: Int[Tensor, "B P 3"]) -> Float[Tensor, ""]:
        """Return the cross-entropy of "something or nothing", plus colour, shape and size where something is.

        The mean over all patches would drown shapes, the hardest, in empty ground.
        """
        logits = self.read(self.norm(patch_BPD)).split([len(names) + 1 for names in NAMES], dim=-1)
        there_BP = names_BP3[..., 0] > 0
        anywhere = F.cross_entropy(logits[0].flatten(0, 1), names_BP3[..., 0].flatten())
        named = [F.cross_entropy(part[there_BP], names_BP3[there_BP][:, i]) for i, part in enumerate(logits)]
        return anywhere + torch.stack(named).sum()


def train(model: CLIPModel, tokenize: Tokenize, minutes: float, seed: int, write: Callable[[], None]) -> int:
    """Train the model in place for so many minutes of wall-clock time and return the number of steps.

    Prints a line every 20 steps and calls `write` every three minutes, so that a stop loses little.
    """
    rng = Random(f"model/{seed}")
    namer = PatchNamer(model.config.vision_config.hidden_size)
    optimizer = _optimizer(model, namer)
    start, step, done, written = time.monotonic(), 0, 0.0, 0.0
    while done < 1:
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * min(done / WARMUP + 1e-3, 0.5 + 0.5 * math.cos(math.pi * done))
        batch = sample_batch(BATCH, model.config.vision_config.patch_size, rng)
        naming, contrast = losses(model, namer, tokenize, batch, with_texts=done > NAMING_ALONE)
        optimizer.zero_grad()
        (contrast + NAMING_WEIGHT * naming).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.logit_scale.data.clamp_(max=MAX_LOGIT_SCALE)
        seconds = time.monotonic() - start
        step, done = step + 1, seconds / (60 * minutes)
        if step % 20 == 0:
            print(f"step {step} {done:.0%} contrast {contrast:.3f} naming {naming:.3f}", flush=True)
        if seconds - written > WRITE_EVERY:
            write()
            written = seconds
    return step


def losses(
    model: CLIPModel, namer: PatchNamer, tokenize: Tokenize, batch: Batch, with_texts: bool
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the patch-naming loss and the contrastive one (foils among the texts), 0 without texts."""
    seen = model.vision_model(batch.pixels_BCHW)
    naming = namer.loss(seen.last_hidden_state[:, 1:], batch.names_BP3)
    if not with_texts:
        return naming, torch.zeros(())
    read = model.text_model(tokenize(batch.texts + batch.foils))
    image_BE = F.normalize(model.visual_projection(seen.pooler_output), dim=-1)
    text_TE = F.normalize(model.text_projection(read.pooler_output), dim=-1)
    logits_BT = model.logit_scale.exp() * image_BE @ text_TE.T
    target_B = torch.arange(len(image_BE))
    to_text = F.cross_entropy(logits_BT, target_B)
    to_image = F.cross_entropy(logits_BT[:, : len(image_BE)].T, target_B)
    return naming, (to_text + to_image) / 2


def sample_batch(size: int, patch: int, rng: Random) -> Batch:
    """Draw a batch of training scenes; no held-out combination is in pictures, captions or foils."""
    images, texts, foils, names = [], [], [], []
    for _ in range(size):
        scene = sample_scene(rng, held_out=False)
        marks = arrange(scene, rng)
        said = claim(scene, rng, full=False)
        images.append(paint(scene, marks, rng))
        texts.append(phrase(said, rng))
        foils.append(phrase(foil(said, scene, rng), rng))
        names.append(name_patches(marks, patch))
    return Batch(to_pixels(images), texts, foils, torch.tensor(names))


def to_pixels(images: list[Image.Image]) -> Float[Tensor, "B 3 H W"]:
    """Return the pictures as the model's input: SIDE x SIDE, values from -1 to 1."""
    raw = bytearray(b"".join(image.tobytes() for image in images))
    pixels_BHWC = torch.frombuffer(raw, dtype=torch.uint8).view(len(images), SIDE, SIDE, 3)
    return pixels_BHWC.permute(0, 3, 1, 2).float() / 127.5 - 1


def name_patches(marks: list[Mark], patch: int) -> list[tuple[int, int, int]]:
    """Return for each patch, row by row, the numbers from 1 of its colour, shape and size; 0: nothing."""
    centres = [patch * (step + 0.5) for step in range(SIDE // patch)]
    return [_name_at(x, y, marks, patch) for y in centres for x in centres]


def _name_at(x: float, y: float, marks: list[Mark], patch: int) -> tuple[int, int, int]:
    # A small thing may miss every patch centre: the patch that holds its middle is named all the same.
    for mark in marks:
        if math.hypot(mark.x - x, mark.y - y) < max(mark.radius, 0.71 * patch):
            group = mark.group
            size = SIZES.index(group.size or "medium")
            return COLOURS.index(group.colour) + 1, SHAPES.index(group.shape) + 1, size + 1
    return 0, 0, 0


def _optimizer(model: CLIPModel, namer: PatchNamer) -> torch.optim.Optimizer:
    weights = [*model.parameters(), *namer.parameters()]
    groups = [
        {"params": [w for w in weights if w.ndim >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=PEAK_LR, betas=(0.9, 0.98))
