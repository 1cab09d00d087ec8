import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import tclip.recipe
from tclip.errors import RecipeError
from tclip.recipe.library import describe, find_recipe, header, recipes_folder, shipped
from tclip.recipe.read import read_recipe

FILES = sorted(path for path in recipes_folder().rglob("*") if path.suffix in (".yaml", ".yml"))
NAMES = {recipe.name for recipe in shipped()}
PARTS = ("What for", "Prerequisites", "Command", "Time")


def part(text, name):
    found = re.search(rf"^{name}:(.*?)(?=^(?:{'|'.join(PARTS)}):|\Z)", header(text), re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def commands(text):
    return [line.strip() for line in part(text, "Command").splitlines() if line.strip()]


def test_what_is_shipped():
    by_use = {"ptq", "mixed-ptq", "best", "mixed", "demo", "vit-b-16", "vit-b-32"}
    assert by_use | {"paper", "q-ffn", "q-attn"} == NAMES
    assert [recipe.name for recipe in shipped()] == sorted(NAMES)
    assert {path.stem for path in FILES} == NAMES, (
        "recipes in subfolders or ending in .yml would not be shipped"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_of_the_folder_reads(path):
    assert read_recipe(path).name == path.stem
    assert read_recipe(path.stem) == read_recipe(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_headers_say_what_for_prerequisites_command_and_time(path):
    text = path.read_text()
    summary = header(text).partition("\n")[0]
    assert summary.endswith(".")
    assert 20 < len(summary) <= 105
    assert header(text).splitlines()[1] == "", "the summary stands alone"
    for name in PARTS:
        assert part(text, name), f"{path.name} lacks {name}:"
    assert "minute" in part(text, "Time")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_commands_of_headers_run_this_recipe_and_name_only_recipes_that_exist(path):
    text = path.read_text()
    assert commands(text)
    assert all(command.startswith(("tclip ", "make ")) for command in commands(text))
    named = re.findall(r"--recipe[ =](\S+)|tclip recipes show ([\w-]+)", text)
    assert {name for pair in named for name in pair if name} <= NAMES
    first = commands(text)[0]
    own = {"best": "tclip compress MODEL --data", "demo": "make demo"}.get(
        path.stem, f"--recipe {path.stem} "
    )
    assert own in first


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_two_commands_of_a_header_begin_the_same_run(path):
    begun = re.findall(r"tclip compress .*--out (\S+)", header(path.read_text()))
    assert len(set(begun)) == len(begun), "compress refuses a folder that holds a run"


@pytest.mark.parametrize("name", ["mixed", "mixed-ptq"])
def test_another_limit_is_a_calibration_of_the_same_run(name):
    again = re.findall(r"^ *tclip (\w+)(?: onnx)? (runs/\S+)$", part(describe(name), "Time"), re.MULTILINE)
    stages = [stage for stage in ("train", "pack", "export", "eval") if stage != "train" or name == "mixed"]
    assert again == [(stage, f"runs/{name}") for stage in stages]
    assert f"tclip calibrate runs/{name} --set quantize." in part(describe(name), "Time")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_overrides_in_headers_are_valid(path):
    overrides = re.findall(r"--set ('[^']+'|\S+=\S+)", path.read_text())
    read_recipe(path, [override.strip("'").rstrip(".,") for override in overrides])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_bodies_explain_their_options(path):
    body = path.read_text().split("schema: 1", 1)[1]
    assert len(re.findall(r"\s#\s\w", body)) >= 1


@pytest.mark.parametrize(("name", "preset"), [("q-ffn", "ffn"), ("q-attn", "attn")])
def test_variants_of_the_paper_differ_in_presets_and_name_alone(name, preset):
    paper, variant = read_recipe("paper").model_dump(), read_recipe(name).model_dump()
    assert (variant.pop("name"), paper.pop("name")) == (name, "paper")
    for tower in ("image", "text"):
        assert variant["quantize"][tower].pop("preset") == preset
        assert paper["quantize"][tower].pop("preset") == "all"
    assert variant == paper


def test_paper_is_the_published_method():
    paper = read_recipe("paper")
    quantize, train = paper.quantize, paper.train
    assert (quantize.quantizer, quantize.scale, quantize.activations) == ("clip2", "row", "float")
    assert paper.calibrate.method == "round"
    assert train and train.recovery == 0
    losses = train.losses
    assert min(losses.contrastive, losses.interactive, losses.similarity, losses.feature) > 0
    assert paper.teacher.id is None
    assert "laion/CLIP-ViT-L-14-laion2B-s32B-b82K" in describe("paper")


def test_ptq_does_not_train_and_best_starts_from_calibration():
    assert read_recipe("ptq").train is None
    assert read_recipe("ptq").calibrate.method == "gptq"
    best = read_recipe("best")
    assert (best.calibrate.method, best.quantize.quantizer) == ("gptq", "learned")
    assert best.train and (best.train.minutes, best.train.recovery) == (15, 0.2)
    demo = read_recipe("demo").train
    assert demo and demo.minutes and 1 <= demo.minutes <= 1.25


def test_find_and_describe():
    found = find_recipe("ptq")
    assert (
        found.summary
        == "Calibration only: a ternary CLIP from a few hundred image-text pairs, without training."
    )
    assert describe("ptq") == found.path.read_text()
    assert describe("ptq").startswith("# Calibration only:")
    with pytest.raises(
        RecipeError,
        match=r'Unknown recipe "ptp". Did you mean "ptq"\? Known: best, demo, mixed, ',
    ):
        find_recipe("ptp")


def test_header():
    assert header("# One.\n#\n#   indented\nkey: 1\n# later\n") == "One.\n\n  indented"
    assert header("key: 1\n") == ""


def test_an_installed_package_carries_its_recipes_inside(tmp_path):
    package = Path(tclip.recipe.__file__).parent
    installed = tmp_path / "tclip"
    shutil.copytree(package, installed / "recipe", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(package.parent / "errors.py", installed)
    (installed / "__init__.py").write_text("")
    shutil.copytree(recipes_folder(), installed / "recipes")
    # -S leaves out the finder of an editable install, which would come before any folder
    paths = [str(tmp_path), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    code = (
        f"import sys; sys.path[:0] = {paths}; from tclip.recipe.library import shipped; "
        "print(*(recipe.path for recipe in shipped()), sep='\\n')"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [Path(line).parent for line in run.stdout.split()] == [installed / "recipes"] * len(NAMES)
