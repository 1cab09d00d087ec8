"""The rules of the house: who imports whom, what no file may do, sizes, docstrings, recipes, the README."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tclip.recipe.library import shipped
from tclip.recipe.read import read_recipe

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("tclip", "cli") for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LONGEST = {"source": 250, "test": 350}
LARGEST_FILE = 4_000_000
FORBIDDEN = {"torch.load", "torch.save"} | {
    f"yaml.{each}" for each in ("load", "load_all", "unsafe_load", "full_load", "Loader", "FullLoader")
}

# Which parts of tclip each part may import, besides itself. "tclip" stands for tclip/__init__.py.
# A stage may read what an earlier stage of the line left, so they name each other's readers and writers.
LEAVES = {"cache", "errors", "progress"}
HOLDING = LEAVES | {"recipe", "run", "models", "data", "ternary", "packed"}
ARROWS: dict[str, set[str]] = {
    "ternary": set(),
    "cache": set(),
    "errors": set(),
    "progress": set(),
    "recipe": {"errors"},
    "run": {"errors", "recipe"},
    "data": {"errors"},
    "models": {"errors", "recipe", "ternary"},
    "packed": LEAVES | {"run", "models", "ternary"},
    "runtime": LEAVES | {"models", "packed"},  # of them what needs no torch: tests/runtime watches it
    "calibrate": HOLDING,
    "distill": HOLDING,
    "export": HOLDING | {"runtime"},  # what it reads of a preprocessor_config.json, for the page
    "evaluate": HOLDING | {"export"},  # to run the files that it measures
    "verify": HOLDING | {"evaluate", "export", "runtime"},
    "hub": HOLDING | {"evaluate", "pipeline"},
    "plugin": {"errors", "packed", "ternary"},
    "bench": LEAVES | {"packed", "export", "runtime"},  # and recipe, by name, in a process of its own
    "pipeline": LEAVES | {"recipe", "run", "models", "packed"},  # and the stages, by name, when they are run
    "report": HOLDING | {"calibrate", "distill", "evaluate"},
    "demo": HOLDING | {"evaluate", "pipeline", "report", "cli"},
    "cli": HOLDING
    | {"calibrate", "pipeline", "runtime", "bench", "evaluate", "export", "report", "verify", "hub"},
    "tclip": {"errors", "recipe", "packed", "pipeline", "plugin"},
}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def part_of(path: Path) -> str:
    """The part that a file belongs to: its folder in tclip, its name right under it, or "cli"."""
    first, *rest = path.relative_to(ROOT).with_suffix("").parts
    if first == "cli":
        return "cli"
    return "tclip" if rest[0] == "__init__" else rest[0]


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"tclip.{alias.name}" for alias in node.names) if module == "tclip" else (module,)


def parts_imported(path: Path) -> set[str]:
    ours = [name.split(".") for name in imported(path) if name.split(".")[0] == "tclip"]
    return {parts[1] if len(parts) > 1 else "tclip" for parts in ours} - {part_of(path)}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("this is no git checkout")
    return [path for path in listing.stdout.split("\0") if path and (ROOT / path).exists()]


def test_every_part_has_its_arrows() -> None:
    assert {part_of(path) for path in SOURCES} == set(ARROWS)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_imports_follow_the_arrows(path: Path) -> None:
    strangers = parts_imported(path) - ARROWS[part_of(path)]
    assert not strangers, f"{part_of(path)} must not import {strangers}"
    assert not [module for module in imported(path) if module.startswith(".")]
    assert not {module.split(".")[0] for module in imported(path)} & {"cli", "recipes", "tests"}


def test_the_number_system_knows_torch_and_nothing_of_ours() -> None:
    foreign = {"abc", "math", "re", "dataclasses", "collections", "typing", "functools", "contextlib"}
    for path in (ROOT / "tclip" / "ternary").glob("*.py"):
        modules = {module for module in imported(path) if not module.startswith("tclip.ternary")}
        assert {module.split(".")[0] for module in modules} <= foreign | {"torch", "jaxtyping"}, name(path)


def test_the_pipeline_is_imported_by_its_users_alone() -> None:
    users = {part_of(path) for path in SOURCES if "pipeline" in parts_imported(path)}
    assert users == {"tclip", "cli", "demo", "hub"}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_reads_code_as_data_or_swallows_errors(path: Path) -> None:
    roots = {module.split(".")[0] for module in imported(path)}
    assert not roots & {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute):
            whole = ast.unparse(node)
            assert whole not in FORBIDDEN, whole
            assert node.attr not in {"extractall", "extract"}, f"{whole}: archives are read, not unpacked"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, "a bare except"
            assert [type(each) for each in node.body] != [ast.Pass], "an exception is passed over"


def undocumented(body: list[ast.stmt], inside: str) -> Iterator[str]:
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield f"{inside}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node.body, f"{inside}{node.name}.")


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_what_is_public_is_documented(path: Path) -> None:
    assert ast.get_docstring(parsed(path))
    assert list(undocumented(parsed(path).body, "")) == []


@pytest.mark.parametrize(("kind", "paths"), [("source", SOURCES), ("test", TESTS)], ids=["source", "tests"])
def test_files_are_short(kind: str, paths: list[Path]) -> None:
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {path: count for path, count in lines.items() if count > LONGEST[kind]} == {}


def test_tracked_files_are_small() -> None:
    sizes = {path: (ROOT / path).stat().st_size for path in tracked()}
    assert {path: size for path, size in sizes.items() if size > LARGEST_FILE} == {}


def test_every_recipe_validates_and_says_what_for() -> None:
    files = sorted((ROOT / "recipes").glob("*.yaml"), key=lambda path: path.stem)
    assert [recipe.name for recipe in shipped()] == [path.stem for path in files]
    for path in files:
        assert read_recipe(path).name == path.stem
        header = path.read_text(encoding="utf-8").split("schema:")[0]
        assert all(word in header for word in ("What for:", "Prerequisites:", "Command:", "Time:")), path.name


def tree_of_readme() -> set[str]:
    """The paths in the README's tree of the repository, folders with a "/" at the end."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    (tree,) = [block for block in blocks if re.search(r"^tclip/\s", block, re.M)]
    paths, above = set(), ""
    for line in tree.splitlines():
        entry = line.split()[0]
        above = above if line.startswith(" ") else entry
        paths.add(f"{above}{entry}" if line.startswith(" ") else entry)
    return paths


def test_the_tree_in_the_readme_is_the_repository() -> None:
    named, files = tree_of_readme(), tracked()
    top = {path.split("/")[0] + ("/" if "/" in path else "") for path in files}
    parts = {f"tclip/{path.split('/')[1]}/" for path in files if re.match(r"tclip/[^/]+/", path)}
    modules = {path for path in files if re.fullmatch(r"tclip/[^/_]+\.py", path)}
    assert top | parts | modules <= named
    assert [path for path in named if not (ROOT / path).exists()] == []
