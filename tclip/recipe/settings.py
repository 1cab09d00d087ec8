"""What of a recipe a result depends on, in a form that a fingerprint can be taken of."""

from collections.abc import Iterable
from typing import Any

from tclip.recipe.schema import Recipe


def settings_of(recipe: Recipe, keys: Iterable[str]) -> dict[str, Any]:
    """Return the values under dotted keys that are not the schema's defaults, as JSON has them.

    Without defaults, so that a recipe of before a key existed goes on meaning the same. Of quantize.bits the
    order counts too: of several patterns that match a weight, the last one does.

    Args:
        recipe: the recipe.
        keys: of a section ("model") or of a part of one ("data.train").
    """
    document = recipe.model_dump(mode="json", exclude_defaults=True)
    quantize = document.get("quantize", {})
    if "bits" in quantize:
        quantize["bits"] = list(quantize["bits"].items())
    return {key: found[0] for key in keys if (found := _under(document, key.split(".")))}


def _under(document: Any, path: list[str]) -> list[Any]:
    """Return the value, in a list, or an empty list if there is none."""
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return []
        document = document[name]
    return [document]
