"""The wheel: what is in it, and that it works where the checkout cannot be imported."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import tclip

ROOT = Path(__file__).parents[1]
FOLDERS = {"tclip": "tclip", "cli": "tclip/cli", "recipes": "tclip/recipes"}  # in the checkout: in the wheel

# What is imported comes from sys.path alone: -S leaves out the .pth files, so that the finder of an editable
# install is not there, and -I leaves out the working folder and PYTHONPATH.
RUN = """
import runpy, sys
sys.path[:0] = {paths}
sys.argv = ["tclip", *{arguments}]
try:
    runpy.run_module("tclip.cli", run_name="__main__")
finally:
    ours = {{m.__file__ for n, m in sys.modules.items() if n.split(".")[0] in ("tclip", "cli", "recipes")}}
    strangers = [file for file in ours if file and not file.startswith({target})]
    if strangers or not ours:
        sys.exit(f"not from the wheel: {{strangers}}")
"""


def build(tmp_path_factory: pytest.TempPathFactory, **environment: str) -> Path:
    """Build the wheel from a copy, so that nothing of the checkout's own build is used."""
    copy, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert done.returncode == 0, done.stderr + done.stdout
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for sys.path with the wheel's files: to unpack a wheel is to install it."""
    target = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run_installed(target: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(target), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    code = RUN.format(paths=paths, arguments=arguments, target=repr(f"{target}/"))
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_nothing_but_tclip_is_put_into_site_packages(installed: Path) -> None:
    assert sorted(path.name for path in installed.iterdir()) == [
        "tclip",
        f"tclip-{tclip.__version__}.dist-info",
    ]


def test_every_file_of_the_package_is_in_the_wheel_and_no_other(installed: Path) -> None:
    expected = {
        f"{there}/{path.relative_to(ROOT / here).as_posix()}"
        for here, there in FOLDERS.items()
        for path in (ROOT / here).rglob("*")
        if path.is_file() and not {"__pycache__", "cpp"} & set(path.parts)
    }
    found = {path.relative_to(installed) for path in (installed / "tclip").rglob("*") if path.is_file()}
    (module,) = (path for path in found if path.name.startswith("_native."))
    assert module.parent.as_posix() == "tclip/runtime"
    assert {path.as_posix() for path in found - {module}} == expected


def test_without_a_compiler_the_package_is_whole_but_for_its_native_code(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    built = build(tmp_path_factory, CC="/bin/false", CXX="/bin/false")
    assert built.name.endswith("-none-any.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path / "site")
    paths = [str(tmp_path / "site"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    code = f"import sys; sys.path[:0] = {paths}; import tclip.runtime; print(tclip.runtime.paths())"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['numpy']\n"


def test_the_command_is_declared(installed: Path) -> None:
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
    assert entry_points.read_text().split("\n")[:2] == ["[console_scripts]", "tclip = tclip.cli.app:main"]


def test_recipes_are_listed_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    done = run_installed(installed, tmp_path, "recipes", "list")
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()[3:] if line]
    assert names == sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))


def test_the_embedded_model_is_inspected_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    done = run_installed(installed, tmp_path, "inspect", str(installed / "tclip/demo/model"))
    assert done.returncode == 0, done.stderr
    assert "would become ternary by recipe best" in done.stdout
