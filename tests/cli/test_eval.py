"""`tclip eval` on suites and on two results; on a run alone it is in test_stages.py."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tclip.pipeline import stage_fingerprint
from tclip.recipe.schema import Model, Recipe
from tclip.recipe.write import write_recipe
from tclip.run import Run
from tests.cli.conftest import Outcome
from tests.data.making import class_members, write_layout
from tests.hub_server import HubServer
from tests.ternarizing import ternarized

Tclip = Callable[..., Outcome]


@pytest.fixture
def here(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """my-clip, another model, and sets/mnist in the working folder; a Hub without anything."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_folder("clip"), tmp_path / "my-clip")
    shutil.copytree(tiny_folder("siglip"), tmp_path / "other")
    texts = {"classnames": "0\n1\n2\n3\n4\n5\n6\n", "zeroshot_classification_templates": "a {c}\n"}
    write_layout(tmp_path / "sets/mnist", {"test": [class_members([n % 7 for n in range(14)])]}, **texts)
    with HubServer() as server:
        server.connect(monkeypatch, tmp_path / "hub-cache")
        yield tmp_path


def test_a_suite_ends_with_its_table_and_names_what_is_missing(tclip: Tclip, here: Path) -> None:
    outcome = tclip("eval", "my-clip", "--suite", "mnist", "--suite", "cars", "--root", "sets")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == "my-clip: 1 of 2 data sets"
    assert lines[1].split() == ["data", "set", "metric", "original"]
    assert 'not measured: cars: "clip-benchmark/wds_cars" is no data set on the Hub' in outcome.err
    assert (here / "results/my-clip/mnist.json").is_file()


def test_nothing_to_be_had_is_a_mistake(tclip: Tclip, here: Path) -> None:
    outcome = tclip("eval", "my-clip", "--suite", "cars", "--root", "sets")
    assert outcome.code == 2
    assert "None of the data could be had" in outcome.err


def test_a_folder_needs_no_suite(tclip: Tclip, here: Path) -> None:
    outcome = tclip(
        "eval", "my-clip", "--data", "sets/mnist", "--limit", "3", "--out", "o", "--json", "--quiet"
    )
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["rows"][0][:2] == ["mnist", "top-1, %"]
    assert json.loads((here / "o/mnist.json").read_text())["num_samples"] == 3


@pytest.fixture
def run(here: Path) -> Run:
    """A run that has been calibrated and packed."""
    run = Run(Path("run"), Recipe(schema=1, model=Model(id="my-clip"), train=None))
    write_packed(ternarized(load_dense("my-clip")), run.calibrated)
    write_packed(ternarized(load_dense("my-clip")), run.packed)
    write_recipe(run.recipe, run.folder / "recipe.yaml")
    for stage in ("calibrate", "pack"):
        run.mark(stage, stage_fingerprint(run.recipe, stage), ())
    return run


@pytest.mark.parametrize(
    ("gone", "forms", "message"),
    [
        ("pack", (), "run is not ready for eval, pack is missing: run `tclip pack run` first"),
        ("pack", ("original", "packed"), "run is not ready for eval, pack is missing"),
        ("pack", ("original", "trained"), ""),
        ("calibrate", ("trained",), "run is not ready for pack, calibrate is missing"),
        ("calibrate", ("original",), ""),
        ("export", (), ""),
    ],
)
def test_a_suite_measures_no_model_that_a_run_has_left_behind(
    tclip: Tclip, run: Run, gone: str, forms: tuple[str, ...], message: str
) -> None:
    run.forget([gone])
    asked = [part for form in forms for part in ("--form", form)]
    outcome = tclip("eval", "run", "--suite", "mnist", "--root", "sets", "--limit", "2", *asked)
    assert outcome.code == (2 if message else 0), outcome.err
    assert message in outcome.err
    assert run.results.exists() is not bool(message)


def test_where_the_data_of_a_suite_lie_is_nothing_to_a_run_without_one(tclip: Tclip, run: Run) -> None:
    options = ("--root", "sets", "--download", "--out", "o", "--revision", "main")
    outcome = tclip("eval", "run", "--data", "sets/mnist", *options)
    assert outcome.code == 2
    assert "Leave out --root, --download, --out, --revision: a run measured without --suite" in outcome.err


def test_two_models_are_compared(tclip: Tclip, here: Path) -> None:
    for model in ("my-clip", "other"):
        tclip("eval", model, "--suite", "mnist", "--root", "sets", "--batch-size", "5")
    outcome = tclip("eval", "--compare", "my-clip", "results/other")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("results/other compared with my-clip: 95 % intervals of 2,000")
    rows = outcome.out.splitlines()[3:]
    assert rows[0].startswith("mnist") and rows[1].startswith("average of 1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Say what to measure: `tclip eval MODEL"),
        (("my-clip",), "Say what to measure on"),
        (("my-clip", "--suite", "minst"), 'Did you mean "mnist"?'),
        (("my-clip", "--data", "sets/minst"), 'Did you mean "sets/mnist"?'),
        (("my-clip", "--suite", "mnist", "--root", "nowhere"), "There is no folder nowhere"),
        (("my-clip", "--suite", "mnist", "--download"), "Say where downloads are to be kept: add --root DIR"),
        (
            ("my-clip", "--suite", "mnist", "--form", "packed", "--set", "a=1"),
            "Leave out --set, --form: my-clip",
        ),
        (("my-clip", "--compare", "a", "b", "--limit", "2"), "Leave out MODEL, --limit: --compare"),
        (("--compare", "my-clip", "other"), "There are no results of my-clip"),
        (("my-clip", "--suite", "mnist", "--limit", "0"), "Invalid value for '--limit'"),
    ],
)
def test_a_mistake_is_told_in_one_place(
    tclip: Tclip, here: Path, arguments: tuple[str, ...], message: str
) -> None:
    outcome = tclip("eval", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert not (here / "results").exists()
