"""Which weight is trained at which rate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tclip.distill.student import Student, make_trainable, parameter_groups
from tclip.models.load import load_dense
from tclip.packed.load import load_packed
from tclip.recipe.schema import Quantize, Train

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


@pytest.mark.parametrize(("asked", "expected"), [(None, 1e-3), (1e-4, 1e-4)])
def test_each_kind_has_its_own_rate_and_latent_weights_alone_decay(
    student: Student, asked: float | None, expected: float
) -> None:
    found = rates(student, float_lr=asked)
    assert set(found) == {name for name, each in student.named_parameters() if each.requires_grad}
    kinds = {
        "parametrizations": (1e-3, 0.1),
        "log_scale": (4e-3, 0.0),
        "project_": (1e-3, 0.0),
        "": (expected, 0.0),  # biases, norms, positions
    }
    for name, rate in found.items():
        kind = next(kind for kind in ("log_scale", *kinds) if kind in name)
        assert rate == pytest.approx(kinds[kind]), name
    assert all(any(kind in name for name in found) for kind in (*kinds, "norm", "bias"))


def test_the_scale_of_logits_stays_the_originals(student: Student) -> None:
    assert not any("logit_scale" in name for name in rates(student))
