"""A run that is packed, with drawn pairs to compare on."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tclip.pipeline import stage_fingerprint
from tclip.recipe.schema import Data, Recipe
from tclip.recipe.write import write_recipe
from tclip.run import Run, open_run
from tests.ternarizing import ternarized

TEXTS = ["a", "a red dog", "two cats on a small table", "the sea at night", "a photo of a tree and a car"]


@pytest.fixture(scope="session")
def _run_once(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    random = np.random.default_rng(0)
    rows = ["filepath,caption"]
    for index, text in enumerate(TEXTS):
        Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).save(folder / f"{index}.png")
        rows.append(f"{index}.png,{text}")
    (folder / "captions.csv").write_text("\n".join(rows))
    run = folder / "run"
    recipe = Recipe(schema=1, data=Data(train=(str(folder / "captions.csv"),)), train=None)
    clip = ternarized(load_dense(str(tiny_folder("clip"))))
    write_packed(clip, run / "packed")
    write_packed(clip, run / "calibrated", "float32")
    write_recipe(recipe, run / "recipe.yaml")
    opened = open_run(run)
    for stage in ("calibrate", "pack"):
        opened.mark(stage, stage_fingerprint(opened.recipe, stage), ())
    return run


@pytest.fixture
def run(_run_once: Path, tmp_path: Path) -> Run:
    """A run of the test's own."""
    return open_run(Path(shutil.copytree(_run_once, tmp_path / "run")))
