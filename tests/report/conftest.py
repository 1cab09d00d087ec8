"""A tiny run with everything that a report shows: packed, measured, records of calibration, training."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tclip.evaluate.stage import evaluate_run
from tclip.models.load import load_dense
from tclip.models.sites import find_sites
from tclip.packed.write import write_packed
from tclip.progress import Collected
from tclip.recipe.schema import Eval, Model, Recipe, Train
from tclip.recipe.write import write_recipe
from tclip.run import STAGE_ORDER, Run, open_run, write_json
from tests.data.making import class_members, pair_members, write_layout
from tests.ternarizing import ternarized

FINISHED = dict.fromkeys(STAGE_ORDER, "finished")
LOG = [
    {"step": step, "seconds": 2.0 * step, "loss": 1 / step, "feature": 0.9 / step, "layers": 0.1 / step}
    | {"lr": 1e-3 / step, "grad_norm": 0.5}
    for step in (10, 20, 30)
]


@pytest.fixture(scope="session")
def made(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, which nothing may change."""
    folder = tmp_path_factory.mktemp("report")
    seen = write_layout(folder / "seen", {"test": [pair_members(range(12))]}, dataset_type="retrieval")
    texts = {"classnames": "cat\ndog\n<cow>\n", "zeroshot_classification_templates": "a {c}\n"}
    zoo = write_layout(folder / "zoo", {"test": [class_members([0, 1, 2, 0, 1, 2, 0])]}, **texts)
    recipe = Recipe(
        schema=1,
        name="tiny",
        model=Model(id=str(tiny_folder("clip"))),
        train=Train(steps=30),
        eval=Eval(data=(str(seen), str(zoo))),
    )
    run = Run(folder / "run", recipe)
    clip = ternarized(load_dense(str(tiny_folder("clip"))))
    write_packed(clip, run.packed)
    write_recipe(recipe, run.folder / "recipe.yaml")
    evaluate_run(run, Collected())
    sites = {site.name: site for site in find_sites(clip.model)}
    layers = [
        {
            "name": name,
            "tower": sites[name].tower,
            "role": sites[name].role,
            "how": "output error",
            "error": 0.1,
            "rounded_error": 0.2 + 0.01 * number,
            "zeros": 0.5,
        }
        for number, name in enumerate(clip.ternary)
    ]
    write_json(run.results / "calibration.json", {"layers": layers})
    run.steps.mkdir()
    (run.steps / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOG))
    return run.folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are made without being painted, which takes most of the time."""
    monkeypatch.setattr("tclip.report.plots._png", lambda height, paint, theme: b"png")


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Run:
    """A copy of the run that a test may change."""
    return open_run(Path(shutil.copytree(made, tmp_path / "run")))
