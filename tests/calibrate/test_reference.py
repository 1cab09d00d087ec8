"""On a CLIP trained on photographs, with few pairs: far above plain rounding."""

from pathlib import Path

import pytest

from tclip.calibrate.calibrate import calibrate
from tclip.calibrate.pairs import read_pairs
from tclip.models.load import load_dense
from tclip.models.sites import find_sites, plan_ternarization
from tclip.recipe.quantize import Part, Quantize
from tclip.recipe.schema import Calibrate, Data, Recipe


@pytest.mark.shared
def test_far_above_plain_rounding(shared: Path) -> None:
    clip = load_dense(str(shared / "models/ref-clip"))
    recipe = Recipe(
        schema=1,
        data=Data(train=(str(shared / "data/flickr8k"),)),
        calibrate=Calibrate(pairs=32),
        quantize=Quantize(image=Part(preset="none"), text=Part(preset="linear")),
    )
    pairs, unseen = read_pairs(recipe, clip, recipe.calibrate.pairs, recipe.calibrate.pairs // 8)
    plan = plan_ternarization(find_sites(clip.model), recipe.quantize)
    report = calibrate(clip, plan, recipe.quantize, recipe.calibrate, pairs, unseen)
    assert report.calibrated.text > report.rounded.text + 0.12
