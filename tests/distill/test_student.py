"""Which weight is trained at which rate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tclip.distill.student import Student, make_trainable, parameter_groups
from tclip.models.load import load_dense
from tclip.packed.load import load_packed
from tclip.recipe.quantize import Quantize
from tclip.recipe.schema import Train
from tclip.ternary.latent import latent_weights

WIDTH = 16  # not the tiny model's own: there are projections


@pytest.fixture
def student(tiny_folder: Callable[[str], Path], calibrated: Path) -> Student:
    clip = make_trainable(
        load_dense(str(tiny_folder("clip"))), load_packed(calibrated), Quantize(quantizer="learned"), 0.25
    )
    return Student(clip, clip.embed_texts(clip.tokenize(["width"])).shape[-1], WIDTH)


def rates(student: Student, **settings: Any) -> dict[str, tuple[float, float]]:
    """(learning rate, weight decay) of each trained parameter, by name."""
    train = Train(steps=1, lr=1e-3, scale_lr=4e-3, weight_decay=0.1, **settings)
    names = {id(parameter): name for name, parameter in student.named_parameters()}
    return {
        names[id(parameter)]: (group["share"] * train.lr, group["weight_decay"])
        for group in parameter_groups(student, train)
        for parameter in group["params"]
    }


@pytest.mark.parametrize(("ternary_lr", "norm_lr"), [(None, None), (0.02, 3e-3)])
def test_each_kind_has_its_own_rate_and_latent_weights_alone_decay(
    student: Student, ternary_lr: float | None, norm_lr: float | None
) -> None:
    found = rates(student, ternary_lr=ternary_lr, norm_lr=norm_lr)
    trained = {name: each for name, each in student.named_parameters() if each.requires_grad}
    assert set(found) == set(trained)
    for name, rate in found.items():
        expected = (1e-3, 0.0)  # positions, projections
        if "norm" in name or "bias" in name or "class_embedding" in name:
            expected = (norm_lr or 1e-3, 0.0)
        elif "log_scale" in name:
            expected = (4e-3, 0.0)
        elif "parametrizations" in name:
            relative = ternary_lr and ternary_lr * float(trained[name].detach().abs().mean())
            expected = (relative or 1e-3, 0.1)
        assert rate == pytest.approx(expected), name
    kinds = ("log_scale", "parametrizations", "project_", "norm", "bias", "position")
    assert all(any(kind in name for name in found) for kind in kinds)


def test_a_relative_rate_means_the_same_for_a_weight_of_any_size(student: Student) -> None:
    before = rates(student, ternary_lr=0.02)
    for _, _, weight in latent_weights(student.model):
        weight.data.mul_(8)
    for name, (rate, _) in rates(student, ternary_lr=0.02).items():
        times = 8 if name.endswith(".original") else 1
        assert rate == pytest.approx(times * before[name][0]), name


def test_the_path_bounds_ternary_weights_alone(student: Student) -> None:
    names = {id(parameter): name for name, parameter in student.named_parameters()}
    groups = parameter_groups(student, Train(steps=1, ternary_lr=0.02))
    for group in groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert group["travels"] == (name.endswith(".original")), name


def test_the_scale_of_logits_stays_the_originals(student: Student) -> None:
    assert not any("logit_scale" in name for name in rates(student))
