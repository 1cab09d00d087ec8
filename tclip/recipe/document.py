"""A YAML document as a tree in which every value knows where it was written.

Recipes are put together from several files and from overrides; the tree lets an error name the file
and line of the very value that is wrong, whichever document it came from.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tclip.errors import RecipeError
from tclip.recipe.yaml12 import SCALAR_TAGS, TAG, Loader, scalar_value

_QUOTES_HELP = " Text that begins with one of * & @ ` % ! or, inside a list, holds ? must be in quotes."
_QUOTES_SYMPTOMS = ("alias", "anchor", "cannot start any token", "tag", "directive", "but got '?'")


@dataclass(frozen=True)
class Located:
    """A value of a document: a scalar, a dict of `Located` by key, or a list of `Located`; and its place."""

    value: Any
    where: str  # FILE:LINE:COLUMN, or the override --set KEY=VALUE

    def plain(self) -> Any:
        """Return the value without places: dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def find(self, keys: tuple[str | int, ...]) -> "Located":
        """Return the value under the keys, or the deepest one on the way to it that was written."""
        if not keys:
            return self
        if isinstance(self.value, dict) and keys[0] in self.value:
            return self.value[keys[0]].find(keys[1:])
        if isinstance(self.value, list) and isinstance(keys[0], int) and keys[0] < len(self.value):
            return self.value[keys[0]].find(keys[1:])
        return self


def merge(base: Located, top: Located) -> Located:
    """Lay one tree over another: mappings merge key by key, anything else (null too) replaces."""
    if not (isinstance(base.value, dict) and isinstance(top.value, dict)):
        return top
    merged = dict(base.value)
    for key, child in top.value.items():
        merged[key] = merge(merged[key], child) if key in merged else child
    return Located(merged, top.where)


def dotted(keys: tuple[str | int, ...]) -> str:
    """Return keys as people write them: train.lr, data.train[1]."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


class _Builder:
    """Turns composed YAML nodes into a tree and collects what is wrong with them."""

    def __init__(self, source: str, in_lines: bool, problems: list[str]) -> None:
        self.source, self.in_lines, self.problems = source, in_lines, problems
        self.open: list[yaml.Node] = []

    def where(self, mark: yaml.Mark) -> str:
        return f"{self.source}:{mark.line + 1}:{mark.column + 1}" if self.in_lines else self.source

    def build(self, node: yaml.Node, keys: tuple[str | int, ...]) -> Located:
        where = self.where(node.start_mark)
        if any(node is outer for outer in self.open):
            self.problems.append(f"{where}: {dotted(keys)} contains itself (*alias of an enclosing &anchor).")
            return Located(None, where)
        self.open.append(node)
        value = self.value(node, keys, where)
        self.open.pop()
        return Located(value, where)

    def value(self, node: yaml.Node, keys: tuple[str | int, ...], where: str) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == f"{TAG}map":
            return self.mapping(node, keys)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{TAG}seq":
            return [self.build(child, (*keys, index)) for index, child in enumerate(node.value)]
        if not isinstance(node, yaml.ScalarNode) or node.tag not in SCALAR_TAGS:
            self.problems.append(
                f'{where}: {dotted(keys)} has the tag "{node.tag}", which recipes do not know.'
            )
            return None
        try:
            return scalar_value(node.tag, node.value)
        except ValueError:
            kind = node.tag.removeprefix(TAG)
            self.problems.append(f'{where}: {dotted(keys)}: cannot read "{node.value[:40]}" as {kind}.')
        return None

    def mapping(self, node: yaml.MappingNode, keys: tuple[str | int, ...]) -> dict[str, Located]:
        children: dict[str, Located] = {}
        for key_node, value_node in node.value:
            where = self.where(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(f"{where}: a key must be a word, found {key_node.id}.")
                continue
            path = (*keys, key_node.value)
            if key_node.value in children:
                first = children[key_node.value].where
                self.problems.append(f"{where}: the key {dotted(path)} is given twice, first at {first}.")
                continue
            # The place of a value is its key: a section's first line, and no column for an empty value.
            children[key_node.value] = Located(self.build(value_node, path).value, where)
        return children


def parse(text: str, source: str, problems: list[str], *, in_lines: bool = True) -> Located | None:
    """Return YAML text as a tree; None for an empty document.

    Duplicate keys, unknown tags and values that contain themselves are added to `problems` as
    sentences; text that is no YAML raises RecipeError. `source` names the text in places; with
    `in_lines` line and column (from 1) follow it.
    """
    try:
        node = yaml.compose(text, Loader)
    except yaml.MarkedYAMLError as error:
        raise RecipeError(_syntax_error(error, source, in_lines)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        place = f"{source}:{line}" if in_lines else source
        raise RecipeError(f"{place}: not valid YAML: control characters are not allowed.") from None
    return None if node is None else _Builder(source, in_lines, problems).build(node, ())


def _syntax_error(error: yaml.MarkedYAMLError, source: str, in_lines: bool) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark and in_lines else source
    context = f" {error.context}" if error.context else ""
    said = f"{error.problem}{context}"
    needs_quotes = any(symptom in said for symptom in _QUOTES_SYMPTOMS)
    return f"{place}: not valid YAML: {said}.{_QUOTES_HELP if needs_quotes else ''}"


def read_document(path: Path, problems: list[str]) -> Located:
    """Return the YAML file as a tree whose root is a mapping; RecipeError when it is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text (byte {error.start}): is it a recipe?") from None
    except OSError as error:
        raise RecipeError(f"Cannot read the recipe {path}: {error.strerror}.") from None
    tree = parse(text, str(path), problems)
    if tree is None:
        raise RecipeError(f"{path}:1:1: the recipe is empty: write at least `schema: 1`.")
    if not isinstance(tree.value, dict):
        raise RecipeError(f"{tree.where}: a recipe is a mapping of sections such as `train:`, this is none.")
    return tree
