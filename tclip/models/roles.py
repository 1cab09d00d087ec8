"""What each parameter of a dual encoder is: its tower, its role, and whether it can be ternary at all."""

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

Tower = Literal["image", "text", "joint"]
Role = Literal["ffn", "attn", "projection", "embedding", "patch", "kept"]


@dataclass(frozen=True)
class Site:
    """One parameter of a model.

    Attributes:
        name: the parameter's dotted name.
        tower: the encoder it belongs to; "joint" for the logit scale and bias.
        role: what it does; "kept" if it cannot be ternary.
        shape: its shape; dimension 0 holds its rows.
        reason: for role "kept", what it is; else "".
    """

    name: str
    tower: Tower
    role: Role
    shape: tuple[int, ...]
    reason: str = ""

    @property
    def num_weights(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


def find_sites(model: Any) -> list[Site]:
    """List every parameter of a dual encoder with its tower and role; a model on "meta" will do.

    A parameter that several modules share is listed once, under its first name.
    """
    return [_site(model, name, tuple(parameter.shape)) for name, parameter in model.named_parameters()]


def _site(model: Any, name: str, shape: tuple[int, ...]) -> Site:
    module_name, _, attribute = name.rpartition(".")
    role = _role(model.get_submodule(module_name), module_name.split("."), attribute)
    reason = "" if role != "kept" else _kept_reason(name, attribute, len(shape))
    return Site(name, _tower(name), role, shape, reason)


def _tower(name: str) -> Tower:
    if name.startswith(("vision_model.", "visual_projection.")):
        return "image"
    return "text" if name.startswith(("text_model.", "text_projection.")) else "joint"


def _role(module: Any, path: list[str], attribute: str) -> Role:
    from torch import nn

    if isinstance(module, nn.MultiheadAttention) and attribute == "in_proj_weight":
        return "attn"
    if attribute != "weight":
        return "kept"
    if isinstance(module, nn.Linear):
        return _linear_role(path)
    if isinstance(module, nn.Conv2d) and _cuts_patches(module):
        return "patch"
    is_token_table = isinstance(module, nn.Embedding) and path[-1] in ("token_embedding", "word_embeddings")
    return "embedding" if is_token_table else "kept"


def _linear_role(path: list[str]) -> Role:
    if "patch_embedding" in path:
        return "patch"  # SigLIP 2 embeds its patches with a linear layer
    if not {"self_attn", "attention", "attn"}.isdisjoint(path):
        return "attn"
    # BERT writes its feed-forward as intermediate.dense and output.dense
    if not {"mlp", "intermediate"}.isdisjoint(path) or path[-2:] == ["output", "dense"]:
        return "ffn"
    return "projection"


def _cuts_patches(convolution: Any) -> bool:
    """Whether a convolution is a linear layer on patches that do not overlap."""
    return convolution.stride == convolution.kernel_size and convolution.groups == 1


def _kept_reason(name: str, attribute: str, num_axes: int) -> str:
    if _tower(name) == "joint":
        return "logit scale or bias"
    if "bias" in attribute:
        return "bias"
    if num_axes > 2 and attribute == "weight":
        return "convolution that is no patch embedding"
    if num_axes == 1 and attribute == "weight":
        return "norm"
    if "position" in name:
        return "position embedding"
    if "token_type" in name:
        return "type embedding"
    return "class embedding or other single vector"
