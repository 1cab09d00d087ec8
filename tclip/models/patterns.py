"""Glob patterns of a recipe against the weights of a model: what they match, and what was meant instead."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from tclip.errors import did_you_mean
from tclip.models.roles import Site
from tclip.recipe.quantize import Quantize


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the glob patterns matches a parameter's whole name; * also matches dots."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def wrong_patterns(sites: list[Site], quantize: Quantize) -> list[str]:
    """Return a sentence for each pattern that matches no weight, of its tower, that can be ternary."""
    sentences = []
    for tower, part in (("image", quantize.image), ("text", quantize.text)):
        for key, patterns in (("include", part.include), ("exclude", part.exclude)):
            for pattern in patterns:
                fault = _fault(pattern, tower, sites)
                if fault:
                    sentences.append(f'quantize.{tower}.{key} "{pattern}" {fault}')
    for pattern in quantize.bits:
        fault = _fault(pattern, None, sites)
        if fault:
            sentences.append(f'quantize.bits "{pattern}" {fault}')
    return sentences


def numbers_starred(name: str) -> str:
    """Return a parameter's name with its layer number as *, which is the same for all layers."""
    return re.sub(r"\.\d+(?=\.)", ".*", name)


def _fault(pattern: str, tower: str | None, sites: list[Site]) -> str:
    """Say what is wrong with a pattern for one tower, or for both (None); '' if it matches."""
    where = ("image", "text") if tower is None else (tower,)
    matched = [site for site in sites if fnmatchcase(site.name, pattern)]
    here = [site for site in matched if site.tower in where]
    if any(site.role != "kept" for site in here):
        return ""
    if here:
        kinds = sorted({site.reason for site in here})
        return f"matches only what always stays float ({', '.join(kinds)})"
    elsewhere = sorted({site.tower for site in matched} - {"joint"})
    if elsewhere:
        return f"matches weights of the {elsewhere[0]} tower only: move it to quantize.{elsewhere[0]}"
    names = [site.name for site in sites if site.tower in where and site.role != "kept"]
    whose = f"the {tower} tower" if tower else "either tower"
    return f"matches no weight of {whose}.{_suggestion(pattern, names)}"


def _suggestion(pattern: str, names: list[str]) -> str:
    whole = f"{pattern}.weight"  # a module's name, where its parameter's is wanted
    if any(fnmatchcase(name, whole) for name in names):
        return f' Did you mean "{whole}"?'
    return did_you_mean(pattern, _patterns_like(pattern, names))


def _patterns_like(pattern: str, names: list[str]) -> list[str]:
    """Return what a pattern of this form could have been: names, and names with stars where it has them."""
    candidates: dict[str, None] = {}
    parts = pattern.count(".")
    for name in names:
        starred = numbers_starred(name)
        if pattern.startswith("*"):
            candidates["*." + ".".join(starred.split(".")[-max(parts, 1) :])] = None
        elif pattern.endswith("*"):
            candidates[".".join(starred.split(".")[: max(parts, 1)]) + ".*"] = None
        else:
            candidates[name if re.search(r"\.\d+\.", pattern) else starred] = None
    return list(candidates)
