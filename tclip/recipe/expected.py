"""What the recipe document expects at a place, in plain words, from the schema's own JSON description."""

from functools import cache
from typing import Any

from tclip.recipe.schema import Recipe

JsonSchema = dict[str, Any]
Keys = tuple[str | int, ...]

_KINDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text"}


@cache
def _document() -> JsonSchema:
    return Recipe.model_json_schema(by_alias=True)


def _alternatives(node: JsonSchema) -> list[JsonSchema]:
    if "$ref" in node:
        return [_document()["$defs"][node["$ref"].rpartition("/")[2]]]
    return [found for part in node["anyOf"] for found in _alternatives(part)] if "anyOf" in node else [node]


def _at(keys: Keys) -> list[JsonSchema]:
    found = [_document()]
    for key in keys:
        inner = [node.get("items") if isinstance(key, int) else _under(node, key) for node in found]
        found = [choice for node in inner if node for choice in _alternatives(node)]
    return found


def _under(node: JsonSchema, key: str) -> JsonSchema | None:
    """What stands under a key: of a section that knows it, or of a mapping that takes any."""
    return node.get("properties", {}).get(key) or node.get("additionalProperties")


def kinds_at(keys: Keys) -> set[str]:
    """Return the JSON types that may stand at a place; empty where the document has no such place."""
    return {node["type"] for node in _at(keys) if "type" in node}


def has_pattern(keys: Keys) -> bool:
    """Return whether a text at a place must look in a certain way, such as 35MB."""
    return any("pattern" in node for node in _at(keys))


def keys_at(keys: Keys) -> list[str]:
    """Return the keys that a section knows, in the order of the schema; empty for what is no section."""
    return [key for node in _at(keys) for key in node.get("properties", {})]


def choices_at(keys: Keys) -> list[str]:
    """Return the words among which a place chooses; empty where it does not choose among words."""
    return [str(choice) for node in _at(keys) for choice in node.get("enum", [])]


def places_of(key: str, section: Keys = ()) -> list[str]:
    """Return every dotted place of the document, inside `section`, whose last key is `key`."""
    found = []
    for name in keys_at(section):
        place = (*section, name)
        if name == key:
            found.append(".".join(str(part) for part in place))
        found += places_of(key, place)
    return found


def expected_at(keys: Keys) -> str:
    """Return what may stand at a place: "a whole number from 1 to 64", "one of ffn, attn", "... or null"."""
    return " or ".join(_words(node) for node in _at(keys)) or "nothing"


def _words(node: JsonSchema) -> str:
    kind = node.get("type")
    if "const" in node:
        return str(node["const"])
    if "enum" in node:
        return "one of " + ", ".join(str(choice) for choice in node["enum"])
    if "pattern" in node:
        return str(node.get("description", f"text like {node['pattern']}")).removesuffix(".")
    if kind == "array":
        return f"a list whose items are {_words(node['items'])}"
    if kind == "object" and node.get("additionalProperties"):
        return f"a mapping of names to {_words(node['additionalProperties'])}"
    if kind == "object":
        return f"a section (keys: {', '.join(node.get('properties', {}))})"
    if kind == "null":
        return "null"
    return _KINDS[str(kind)] + _range(node)


def _range(node: JsonSchema) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if low is not None and high is not None and above is None:
        return f" from {low:g} to {high:g}"
    bounds = [
        f"above {above:g}" if above is not None else f"of at least {low:g}" if low is not None else "",
        f"below {below:g}" if below is not None else f"at most {high:g}" if high is not None else "",
    ]
    return "".join(f" {bound}" for bound in [" and ".join(bound for bound in bounds if bound)] if bound)
