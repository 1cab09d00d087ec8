"""Which weights of a model may become ternary, and which of them a recipe chooses."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from typing import Any, Literal

from tclip.errors import RecipeError, did_you_mean, listed
from tclip.recipe.schema import Part, Quantize
from tclip.ternary.granularity import scale_shape

Tower = Literal["image", "text", "joint"]
Role = Literal["ffn", "attn", "projection", "embedding", "patch", "kept"]

PRESETS: dict[str, frozenset[str]] = {
    "none": frozenset(),
    "ffn": frozenset({"ffn"}),
    "attn": frozenset({"attn"}),
    "linear": frozenset({"ffn", "attn", "projection"}),
    "all": frozenset({"ffn", "attn", "projection", "embedding", "patch"}),
}


@dataclass(frozen=True)
class Site:
    """One parameter of a model.

    Attributes:
        name: the parameter's dotted name.
        tower: the encoder it belongs to; "joint" for the logit scale and bias.
        role: what it does; "kept" if it cannot be ternary.
        shape: its shape; dimension 0 holds its rows.
        reason: for role "kept", what it is.
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


@dataclass(frozen=True)
class Decision:
    """What becomes of one parameter, and why."""

    site: Site
    ternary: bool
    why: str


@dataclass(frozen=True)
class Plan:
    """What becomes of every parameter of a model."""

    decisions: tuple[Decision, ...]

    @property
    def ternary_names(self) -> list[str]:
        """Names of the parameters that become ternary, in the model's order."""
        return [decision.site.name for decision in self.decisions if decision.ternary]

    @property
    def ternary_share(self) -> float:
        """Share of all weights that become ternary, in [0, 1]."""
        total = sum(decision.site.num_weights for decision in self.decisions)
        return sum(d.site.num_weights for d in self.decisions if d.ternary) / total


def find_sites(model: Any) -> list[Site]:
    """List every parameter of a dual encoder with its tower and role; a model on "meta" will do."""
    sites = []
    for name, parameter in model.named_parameters():
        module_name, _, attribute = name.rpartition(".")
        role, reason = _role(model.get_submodule(module_name), name, attribute, parameter.ndim)
        sites.append(Site(name, _tower(name), role, tuple(parameter.shape), reason))
    return sites


def plan_ternarization(sites: Iterable[Site], quantize: Quantize) -> Plan:
    """Decide for every parameter whether it becomes ternary.

    Raises:
        RecipeError: patterns that match nothing or something that cannot be ternary, group sizes that
            do not divide a row, or nothing left to ternarize; all offenders in one message.
    """
    sites = list(sites)
    parts: dict[str, Part] = {"image": quantize.image, "text": quantize.text}
    decisions = tuple(_decide(site, parts.get(site.tower)) for site in sites)
    offenders = [
        *_wrong_patterns(sites, parts),
        *_wrong_groups([d.site for d in decisions if d.ternary], quantize.scale),
    ]
    if not offenders and not any(decision.ternary for decision in decisions):
        offenders = [
            "quantize: no weight of either tower would become ternary; choose a preset or include some"
        ]
    if offenders:
        raise RecipeError(f"The recipe does not fit the model:{listed(offenders)}")
    return Plan(decisions)


def _role(module: Any, name: str, attribute: str, num_axes: int) -> tuple[Role, str]:
    from torch import nn

    parts = name.split(".")
    if isinstance(module, nn.MultiheadAttention) and attribute == "in_proj_weight":
        return "attn", ""
    if attribute == "weight" and isinstance(module, nn.Linear):
        return _linear_role(parts), ""
    if attribute == "weight" and isinstance(module, nn.Conv2d):
        return "patch", ""
    if attribute == "weight" and isinstance(module, nn.Embedding):
        is_token_table = parts[-2] in ("token_embedding", "word_embeddings")
        return ("embedding", "") if is_token_table else ("kept", "position or type embedding")
    if "bias" in attribute:
        return "kept", "bias"
    if attribute == "weight" and num_axes == 1:
        return "kept", "norm"
    return "kept", "scalar" if num_axes == 0 else "class or position embedding"


def _linear_role(parts: list[str]) -> Role:
    if "patch_embedding" in parts:
        return "patch"  # SigLIP 2 embeds its patches with a linear layer
    if any(part in ("self_attn", "attention", "attn") for part in parts):
        return "attn"
    # BERT writes its feed-forward as intermediate.dense and output.dense
    if any(part in ("mlp", "intermediate") for part in parts) or parts[-3:-1] == ["output", "dense"]:
        return "ffn"
    return "projection"


def _tower(name: str) -> Tower:
    if name.startswith(("vision_model.", "visual_projection.")):
        return "image"
    return "text" if name.startswith(("text_model.", "text_projection.")) else "joint"


def _decide(site: Site, part: Part | None) -> Decision:
    if site.role == "kept" or part is None:
        return Decision(site, False, site.reason or "belongs to no tower")
    if any(fnmatchcase(site.name, pattern) for pattern in part.exclude):
        return Decision(site, False, "excluded by the recipe")
    if any(fnmatchcase(site.name, pattern) for pattern in part.include):
        return Decision(site, True, "included by the recipe")
    if site.role in PRESETS[part.preset]:
        return Decision(site, True, f"preset {part.preset}")
    return Decision(site, False, f"{site.role} is not in preset {part.preset}")


def _wrong_patterns(sites: list[Site], parts: dict[str, Part]) -> list[str]:
    offenders = []
    for tower, part in parts.items():
        names = {site.name: site for site in sites if site.tower == tower}
        for key, patterns in (("include", part.include), ("exclude", part.exclude)):
            for pattern in patterns:
                matched = [names[name] for name in names if fnmatchcase(name, pattern)]
                where = f'quantize.{tower}.{key} "{pattern}"'
                if not matched:
                    offenders.append(f"{where} matches no weight.{did_you_mean(pattern, names)}")
                elif all(site.role == "kept" for site in matched):
                    offenders.append(f"{where} matches only {matched[0].reason}s, which always stay float")
    return offenders


def _wrong_groups(sites: list[Site], granularity: str) -> list[str]:
    offenders = []
    for site in sites:
        try:
            scale_shape(granularity, site.shape)
        except ValueError as error:
            offenders.append(
                f'quantize.scale "{granularity}" does not fit {site.name} {list(site.shape)}: {error}'
            )
    return offenders
