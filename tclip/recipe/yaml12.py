"""Which plain words of a recipe are numbers, truth values and null: the core schema of YAML 1.2.

PyYAML follows YAML 1.1, where `1e-4` is text, `010` is eight, `12:30` is 750, `no` is false and a
date is an object. Here `1e-4` is a number, `010` is ten and all the others are text. Keys that hold
true or false still understand the words yes, no, on and off, because their type asks for them.
"""

import re
from collections.abc import Callable

import yaml

Scalar = str | int | float | bool | None

TAG = "tag:yaml.org,2002:"

_RESOLVERS = (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", tuple("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", tuple("-+0123456789")),
    (
        "float",
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        tuple("-+.0123456789"),
    ),
)


class Loader(yaml.SafeLoader):
    """SafeLoader that resolves plain words by YAML 1.2; used to compose nodes, never to build objects."""


class Dumper(yaml.SafeDumper):
    """SafeDumper that quotes every text which YAML 1.1 or 1.2 would read as something else."""

    def ignore_aliases(self, data: object) -> bool:
        """Write equal parts out in full: a recipe is read by people."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Escape line separators and the like: in any other style YAML folds them."""
    return dumper.represent_scalar(f"{TAG}str", text, style=None if text.isprintable() else '"')


Dumper.add_representer(str, _text)
Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in _RESOLVERS:
    for _class in (Loader, Dumper):
        _class.add_implicit_resolver(f"{TAG}{_kind}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _integer(text: str) -> int:
    return int(text, 0 if text.startswith(("0x", "0o")) else 10)


def _real(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_VALUES: dict[str, Callable[[str], Scalar]] = {
    f"{TAG}null": lambda _text: None,
    f"{TAG}bool": lambda text: text.lower() == "true",
    f"{TAG}int": _integer,
    f"{TAG}float": _real,
    f"{TAG}str": str,
}
SCALAR_TAGS = frozenset(_VALUES)


def scalar_value(tag: str, text: str) -> Scalar:
    """Return the value of a scalar node's text under one of SCALAR_TAGS.

    Raises ValueError when an explicit tag does not fit the text, as in `!!int many`.
    """
    return _VALUES[tag](text)


def plain_value(text: str) -> Scalar:
    """Return what the text would be as one plain word of a recipe: `1e-4` a float, `` null, `a: b` text."""
    resolver = Loader("")
    return scalar_value(resolver.resolve(yaml.ScalarNode, text, (True, False)), text)
