"""The recipes that come with tclip, in a checkout and in an installed wheel alike."""

from dataclasses import dataclass
from pathlib import Path

from tclip.errors import RecipeError, unknown_name


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe that comes with tclip; its summary is the first line of its header."""

    name: str
    path: Path
    summary: str


def recipes_folder() -> Path:
    """Return the folder of shipped recipes: inside the package once installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def shipped() -> list[ShippedRecipe]:
    """Return every shipped recipe, by name."""
    return [
        ShippedRecipe(path.stem, path, header(path.read_text(encoding="utf-8")).partition("\n")[0])
        for path in sorted(recipes_folder().glob("*.yaml"), key=lambda path: path.stem)
    ]


def find_recipe(name: str) -> ShippedRecipe:
    """Return the shipped recipe of that name; RecipeError with the nearest name when there is none."""
    recipes = {recipe.name: recipe for recipe in shipped()}
    if name not in recipes:
        raise RecipeError(unknown_name("recipe", name, recipes))
    return recipes[name]


def describe(name: str) -> str:
    """Return the text of a shipped recipe, header and body, as it was written."""
    return find_recipe(name).path.read_text(encoding="utf-8")


def header(text: str) -> str:
    """Return the comment at the top of a recipe without its # signs."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" ").rstrip())
    return "\n".join(lines)
