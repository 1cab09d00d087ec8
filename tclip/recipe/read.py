"""Read a recipe: files that extend one another, overrides laid over them, every mistake told at once.

    recipe = read_recipe("best", ["train.lr=1e-4", "data.train=shards/*.tar"])

`extends: NAME-or-path` at the top of a file lays the file over another recipe: mappings merge key by
key, anything else (lists, scalars, an explicit null) replaces. A name without folder or suffix is a
shipped recipe; anything else is a path, relative to the file that says it. Each file states its own
`schema: 1`; a `name` belongs to its file and is not inherited. Plain words follow YAML 1.2 (yaml12.py).
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from tclip.errors import RecipeError, did_you_mean, listed
from tclip.recipe.document import Located, merge, read_document
from tclip.recipe.explain import explain, misplaced_truths
from tclip.recipe.library import find_recipe, shipped
from tclip.recipe.overrides import read_overrides
from tclip.recipe.schema import SCHEMA_VERSION, Recipe

_SUFFIXES = (".yaml", ".yml")


def read_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe of a YAML file, or the shipped recipe of that name, with overrides laid over it.

    Overrides are `KEY=VALUE` with a dotted key, as in `train.lr=1e-4`, later ones over earlier ones.
    The recipe's name defaults to the file's stem. Raises RecipeError that lists every mistake with
    file, line, column (or the override), key, what was expected and what was found.
    """
    path = _locate(source, Path())
    problems: list[str] = []
    tree = merge(_read_chain(path, (), problems), read_overrides(overrides, problems))
    tree = merge(Located({"name": Located(path.stem, tree.where)}, tree.where), tree)
    problems += misplaced_truths(tree)
    recipe = None
    try:
        recipe = Recipe.model_validate(tree.plain())
    except ValidationError as error:
        problems += explain(error, tree)
    if recipe is None or problems:
        raise RecipeError(_message(problems, path))
    return recipe


def _message(problems: list[str], path: Path) -> str:
    distinct = list(dict.fromkeys(problems))
    if len(distinct) == 1:
        return distinct[0]
    return f"The recipe {path} has {len(distinct)} mistakes:{listed(distinct)}"


def _locate(source: str | Path, folder: Path) -> Path:
    path = Path(source).expanduser()
    looks_like_path = isinstance(source, Path) or path.suffix in _SUFFIXES or len(path.parts) != 1
    looks_like_path = looks_like_path or str(source).startswith(".")
    if not looks_like_path and str(source) in {recipe.name for recipe in shipped()}:
        return find_recipe(str(source)).path
    path = folder / path
    if path.is_dir():
        raise RecipeError(f"{path} is a folder: a recipe is a YAML file in it, or one of {_names()}.")
    if path.is_file():
        return path
    if looks_like_path:
        raise RecipeError(_no_such_file(path))
    try:
        return find_recipe(str(source)).path
    except RecipeError as error:
        raise RecipeError(f"{error} If you meant a file: no such file {path}.") from None


def _names() -> str:
    return ", ".join(recipe.name for recipe in shipped())


def _no_such_file(path: Path) -> str:
    siblings = [other.name for other in sorted(path.parent.glob("*")) if other.suffix in _SUFFIXES]
    return f"No such recipe file: {path}.{did_you_mean(path.name, siblings)} Shipped recipes: {_names()}."


def _read_chain(path: Path, above: tuple[Path, ...], problems: list[str]) -> Located:
    """Read a file and all it extends, laid over one another; `above` are the files that extend it."""
    tree = read_document(path, problems)
    own = dict(tree.value)
    _check_schema(own.pop("schema", None), tree, problems)
    extends = own.pop("extends", None)
    if above:
        own.pop("name", None)
    tree = Located(own, tree.where)
    base = _base_of(extends, path, above, problems) if extends else None
    return merge(_read_chain(base, (*above, path), problems), tree) if base else tree


def _check_schema(schema: Located | None, tree: Located, problems: list[str]) -> None:
    if schema is None:
        problems.append(f"{tree.where}: the key schema is missing: write `schema: {SCHEMA_VERSION}`.")
    elif isinstance(schema.value, bool) or not isinstance(schema.value, int) or schema.value < 1:
        problems.append(f"{schema.where}: schema: expected {SCHEMA_VERSION}, found {schema.plain()!r}.")
    elif schema.value > SCHEMA_VERSION:
        raise RecipeError(
            f"{schema.where}: the recipe is written for schema {schema.value}, this tclip reads schema "
            f"{SCHEMA_VERSION}: update it with `pip install --upgrade tclip`."
        )


def _base_of(extends: Located, path: Path, above: tuple[Path, ...], problems: list[str]) -> Path | None:
    if not isinstance(extends.value, str):
        problems.append(f"{extends.where}: extends: expected the name or path of one recipe.")
        return None
    try:
        base = _locate(extends.value, path.parent)
    except RecipeError as error:
        problems.append(f"{extends.where}: extends: {error}")
        return None
    chain = [*above, path, base]
    if base.resolve() in {file.resolve() for file in chain[:-1]}:
        circle = " -> ".join(str(file) for file in chain)
        problems.append(f"{extends.where}: extends goes in a circle: {circle}.")
        return None
    return base
