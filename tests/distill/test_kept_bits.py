"""Weights that keep 4 or 8 bits come out of training as they went in; all around them is trained."""

from collections.abc import Callable
from pathlib import Path

import torch

from tclip.calibrate.stage import calibrate
from tclip.packed.load import load_packed
from tclip.progress import Collected
from tclip.run import create_run
from tests.distill.making import recipe, train_run
from tests.ternarizing import MIXED_BITS


def test_they_are_not_trained(tiny_folder: Callable[[str], Path], pairs: Path, tmp_path: Path) -> None:
    bits = {name: each for name, each in MIXED_BITS.items() if "head.attention" not in name}
    made = recipe(tiny_folder("clip"), pairs, quantize={"bits": bits, "activations": "int8"})
    run = create_run(tmp_path / "run", made, resume=False)
    calibrate(run, Collected())
    train_run(run)
    before, after = load_packed(run.calibrated), load_packed(run.trained)
    assert {name: weight.bits for name, weight in after.ints.items()} == bits
    for name, weight in after.ints.items():
        assert torch.equal(weight.codes, before.ints[name].codes)
        assert torch.equal(weight.scale_RG, before.ints[name].scale_RG)
        assert torch.equal(after.model.get_parameter(name), weight.dense())
    assert after.ternary.keys() == before.ternary.keys()
    scales = {
        name: (weight.scale_RG, before.ternary[name].scale_RG) for name, weight in after.ternary.items()
    }
    assert any(not torch.equal(*both) for both in scales.values())
    bias = "vision_model.encoder.layers.0.mlp.fc1.bias"  # of a layer whose weight keeps bits
    assert not torch.equal(after.model.get_parameter(bias), before.model.get_parameter(bias))
