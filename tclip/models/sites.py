"""Which weights of a model become ternary: presets and patterns of a recipe, applied to every parameter."""

from collections.abc import Iterable
from dataclasses import dataclass

from tclip.errors import RecipeError, listed
from tclip.models.patterns import matches_any, numbers_starred, wrong_patterns
from tclip.models.roles import Role, Site, Tower, find_sites
from tclip.recipe.quantize import Part, Quantize
from tclip.ternary.granularity import scale_shape

__all__ = [
    "PRESETS",
    "Decision",
    "Plan",
    "Role",
    "Site",
    "SummaryRow",
    "Tower",
    "find_sites",
    "plan_ternarization",
]

PRESETS: dict[str, frozenset[Role]] = {
    "none": frozenset(),
    "ffn": frozenset({"ffn"}),
    "attn": frozenset({"attn"}),
    "linear": frozenset({"ffn", "attn", "projection"}),
    "all": frozenset({"ffn", "attn", "projection", "embedding", "patch"}),
}


@dataclass(frozen=True)
class Decision:
    """What becomes of one parameter, and why.

    Attributes:
        site: the parameter.
        ternary: whether it becomes ternary.
        why: the preset, the recipe's pattern, or what keeps it float.
        bits: 4 or 8 if it is kept at so many bits, which only a weight that is not ternary can be.
    """

    site: Site
    ternary: bool
    why: str
    bits: int | None = None

    @property
    def form(self) -> str:
        """In what form it is kept: "ternary", "4 bits", "8 bits" or "float"."""
        return "ternary" if self.ternary else f"{self.bits} bits" if self.bits else "float"


@dataclass(frozen=True)
class SummaryRow:
    """Parameters of one tower that share role, fate and reason, as one row of the printed table.

    Attributes:
        tower: "image", "text" or "joint".
        role: what they do; for those that cannot be ternary, what they are ("norm", "bias").
        num_tensors: how many parameters.
        num_weights: how many numbers they hold.
        form: "ternary", "4 bits", "8 bits" or "float".
        why: the preset, the recipe's pattern, or what keeps them float.
    """

    tower: Tower
    role: str
    num_tensors: int
    num_weights: int
    form: str
    why: str

    @property
    def ternary(self) -> bool:
        """Whether they become ternary."""
        return self.form == "ternary"


@dataclass(frozen=True)
class Plan:
    """What becomes of every parameter of a model."""

    decisions: tuple[Decision, ...]

    @property
    def ternary_names(self) -> list[str]:
        """Names of the parameters that become ternary, in the model's order."""
        return [decision.site.name for decision in self.decisions if decision.ternary]

    @property
    def bits(self) -> dict[str, int | None]:
        """The bits of each parameter that is kept as codes and scales: None of ternary ones."""
        return {d.site.name: d.bits for d in self.decisions if d.ternary or d.bits}

    @property
    def ternary_share(self) -> float:
        """Share of all weights that become ternary, in [0, 1]."""
        total = sum(decision.site.num_weights for decision in self.decisions)
        return sum(d.site.num_weights for d in self.decisions if d.ternary) / total

    def summary(self) -> list[SummaryRow]:
        """Return the decisions grouped: image tower, text tower, joint; ternary first, then by size."""
        groups: dict[tuple[Tower, str, str, str], list[Site]] = {}
        for decision in self.decisions:
            site = decision.site
            key = (site.tower, site.reason or site.role, decision.form, decision.why)
            groups.setdefault(key, []).append(site)
        rows = [
            SummaryRow(tower, role, len(sites), sum(s.num_weights for s in sites), form, why)
            for (tower, role, form, why), sites in groups.items()
        ]
        towers = ("image", "text", "joint")
        return sorted(rows, key=lambda row: (towers.index(row.tower), not row.ternary, -row.num_weights))


def plan_ternarization(sites: Iterable[Site], quantize: Quantize) -> Plan:
    """Decide for every parameter whether it becomes ternary.

    Raises:
        RecipeError: patterns that match nothing or something that cannot be ternary, group sizes that
            do not divide a row, or nothing left to ternarize; all offenders in one message.
    """
    sites = list(sites)
    decisions = tuple(_decide(site, quantize) for site in sites)
    coded = [decision.site for decision in decisions if decision.ternary or decision.bits]
    offenders = [*wrong_patterns(sites, quantize), *_wrong_groups(coded, quantize.scale)]
    if not offenders and not any(decision.ternary for decision in decisions):
        offenders = [
            "quantize: no weight of either tower would become ternary; choose a preset, or include some"
        ]
    if offenders:
        raise RecipeError(f"The recipe does not fit the model:{listed(offenders)}")
    return Plan(decisions)


def _decide(site: Site, quantize: Quantize) -> Decision:
    if site.role == "kept":
        return Decision(site, False, f"{site.reason} stays float")
    if site.tower == "joint":
        return Decision(site, False, "belongs to neither tower")
    part: Part = quantize.image if site.tower == "image" else quantize.text
    if matches_any(site.name, part.exclude):
        return Decision(site, False, "excluded by the recipe")
    matching = [bits for pattern, bits in quantize.bits.items() if matches_any(site.name, [pattern])]
    if matching:
        bought = quantize.is_rated and site.name in quantize.bits  # what ratings buy is named whole
        return Decision(site, False, f"kept {'for its cost' if bought else 'by the recipe'}", matching[-1])
    if matches_any(site.name, part.include):
        return Decision(site, True, "included by the recipe")
    if site.role in PRESETS[part.preset]:
        return Decision(site, True, f"preset {part.preset}")
    return Decision(site, False, f"{site.role} is not in preset {part.preset}")


def _wrong_groups(sites: list[Site], granularity: str) -> list[str]:
    """Return a sentence for each kind of weight whose rows the group size does not divide."""
    faults: dict[tuple[str, tuple[int, ...], str], int] = {}
    for site in sites:
        try:
            scale_shape(granularity, site.shape)
        except ValueError as error:
            fault = (numbers_starred(site.name), site.shape, str(error))
            faults[fault] = faults.get(fault, 0) + 1
    return [
        f'quantize.scale "{granularity}" does not fit {name} {list(shape)} ({count} of them): {fault}'
        for (name, shape, fault), count in faults.items()
    ]
