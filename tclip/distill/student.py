"""The student in training: a CLIP with latent ternary weights, as one module that a wrapper can hold.

M images, N texts, E the student's embedding, F the teacher's.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tclip.models.clip import Clip, Inputs
from tclip.recipe.quantize import Quantize
from tclip.recipe.schema import Train
from tclip.ternary.activations import quantize_activations
from tclip.ternary.latent import attach, latent_weights


class Student(nn.Module):
    """Both towers behind one forward, plus the projections to the teacher's width where widths differ."""

    def __init__(self, clip: Clip, width: int, teacher_width: int) -> None:
        super().__init__()
        self.model = clip.model
        self._clip = [clip]  # in a list: the model in it is registered once, above
        differ = width != teacher_width
        self.project_image = nn.Linear(width, teacher_width, bias=False) if differ else nn.Identity()
        self.project_text = nn.Linear(width, teacher_width, bias=False) if differ else nn.Identity()

    def forward(
        self, images: Inputs, texts: Inputs
    ) -> tuple[Float[Tensor, "M E"], Float[Tensor, "N E"], Float[Tensor, "M F"], Float[Tensor, "N F"]]:
        """Return image and text embeddings, then the same in the teacher's space; all L2-normalised."""
        (clip,) = self._clip
        image_ME, text_NE = clip.embed_images(images), clip.embed_texts(texts)
        image_MF = nn.functional.normalize(self.project_image(image_ME), dim=-1)
        text_NF = nn.functional.normalize(self.project_text(text_NE), dim=-1)
        return image_ME, text_NE, image_MF, text_NF

    def real_tokens(self, texts: Inputs) -> Bool[Tensor, "N T"]:
        """Return which tokens of texts are read: not the padding behind their ends."""
        return self._clip[0].real_tokens(texts)


def make_trainable(original: Clip, calibrated: Clip, quantize: Quantize, margin: float) -> Clip:
    """Put latent weights under the ternary ones: the original's, moved into the calibrated codes' cells.

    Everything that stays float is taken from the calibrated model, and so are the weights that keep 4 or 8
    bits, which are not trained: their rounding is too fine for a step to cross. The original is changed in
    place and returned. The logit scale and bias are not trained: they are the original's calibration.

    Args:
        original, calibrated: the model before and after calibration.
        quantize: of the recipe.
        margin: how far inside its code's cell a latent weight starts, as a share of the scale, in [0, 0.5];
            less than 0.001 counts as that.
    """
    names = list(calibrated.ternary)
    state = dict(calibrated.model.named_parameters())
    with torch.no_grad():
        for name, parameter in original.model.named_parameters():
            if name not in calibrated.ternary:
                parameter.copy_(state[name])
    learned = quantize.quantizer == "learned"
    starts = {name: calibrated.ternary[name] if learned else None for name in names}
    attach(original.model, starts, quantize.quantizer, quantize.scale, margin)
    original.ints = calibrated.ints
    fixed = {"logit_scale", "logit_bias", *calibrated.ints}
    for name, parameter in original.model.named_parameters():
        parameter.requires_grad_(name not in fixed)
    if quantize.activations == "int8":
        quantize_activations(original.model, names)
    original.activations = quantize.activations
    return original


def parameter_groups(student: Student, train: Train) -> list[dict[str, Any]]:
    """Return AdamW's groups: learned scales, vectors, float matrices, and each latent weight (decayed).

    Each group has `share`, its learning rate relative to train.lr, and `travels`, whether train.ternary_path
    bounds it. Of a latent weight it follows from its
    mean magnitude if train.ternary_lr is set: Adam moves all weights alike, and what carries one into the
    next code shakes another that is a fifth of its size. The mean magnitude and not the scale, since of a
    matrix that is nearly diagonal the few large weights make the scale.
    """
    latents = [weight for _, _, weight in latent_weights(student.model)]
    scales = [x for _, latent, _ in latent_weights(student.model) if (x := latent.log_scale_RG) is not None]
    apart = {id(parameter) for parameter in (*latents, *scales)}
    others = [x for x in student.parameters() if x.requires_grad and id(x) not in apart]
    vectors, matrices = ([x for x in others if (x.dim() < 2) == short] for short in (True, False))
    groups: list[tuple[Sequence[Tensor], float, float, bool]] = [
        (scales, train.scale_lr, 0.0, False),
        (vectors, train.norm_lr or train.lr, 0.0, False),
        (matrices, train.lr, 0.0, False),
    ]
    for weight in latents:
        relative = train.ternary_lr and train.ternary_lr * float(weight.detach().abs().mean())
        groups.append(([weight], relative or train.lr, train.weight_decay, True))
    return [
        {"params": parameters, "share": rate / train.lr, "weight_decay": decay, "travels": travels}
        for parameters, rate, decay, travels in groups
        if parameters
    ]


def quantized_once() -> Any:
    """Return a context in which each latent weight is quantized at most once, however often it is read."""
    return parametrize.cached()
