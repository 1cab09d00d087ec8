"""Losses on hidden states against loops; which models they are for."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional

from tclip.distill.layers import LayerLosses, relation_divergence, relative_error
from tclip.errors import TrainingError
from tclip.models.load import load_dense
from tclip.recipe.schema import Losses
from tests.tiny import FAMILY_NAMES

B, T, D, H = 3, 4, 6, 2


def alone(value: torch.Tensor) -> torch.Tensor:
    return value


def states(seed: int) -> torch.Tensor:
    return torch.randn(B, T, D, generator=torch.Generator().manual_seed(seed))


def test_relative_error_is_the_share_of_the_variance() -> None:
    student, teacher = states(0).flatten(0, 1), states(1).flatten(0, 1)
    error = sum(float((one - other).square().sum()) for one, other in zip(student, teacher, strict=True))
    mean = sum(teacher) / len(teacher)
    variance = sum(float((row - mean).square().sum()) for row in teacher)
    assert float(relative_error(student, teacher, alone)) == pytest.approx(error / variance, rel=1e-5)
    assert float(relative_error(teacher, teacher, alone)) == 0


def test_relation_divergence_is_the_mean_kl_of_token_relations() -> None:
    student, teacher = states(0), states(1)
    lengths, total, width = (T, 2, 3), 0.0, D // H
    for b, length in enumerate(lengths):
        for h in range(H):
            part = slice(h * width, (h + 1) * width)
            for t in range(length):
                own, wanted = (
                    functional.softmax(x[b, :length, part] @ x[b, t, part] / width**0.5, dim=0)
                    for x in (student, teacher)
                )
                total += float((wanted * (wanted / own).log()).sum())
    real = torch.arange(T) < torch.tensor(lengths)[:, None]
    found = relation_divergence(student.requires_grad_(), teacher, H, real)
    assert float(found.detach()) == pytest.approx(total / (H * sum(lengths)), rel=1e-4)
    (slope,) = torch.autograd.grad(found, student)
    assert slope.isfinite().all()
    assert torch.equal(slope.abs().sum(-1) > 0, real)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_every_family_has_layers_and_relations(tiny_folder: Callable[[str], Path], family: str) -> None:
    student, teacher = (load_dense(str(tiny_folder(family))) for _ in range(2))
    with torch.no_grad():
        for parameter in student.model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    found = LayerLosses(student.model, teacher.model, Losses(layers=1.0, attention=1.0))
    texts = student.tokenize(["a red cat", "two dogs"])
    images = student.preprocess([Image.new("RGB", (40, 36), colour) for colour in ("red", "blue")])
    with found.recording():
        for clip in (student, teacher):
            clip.embed_images(images)
            clip.embed_texts(texts)
    losses = found.losses(alone, student.real_tokens(texts))
    assert losses.keys() == {"layers", "attention"}
    assert all(0 < float(value.detach()) < 1e3 for value in losses.values())
    sum(losses.values()).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in student.model.parameters())
    assert not any(module._forward_hooks for module in student.model.modules())


@pytest.mark.parametrize("loss", LayerLosses.NAMES)
def test_padding_behind_a_text_is_not_compared(tiny_folder: Callable[[str], Path], loss: str) -> None:
    student, teacher = (load_dense(str(tiny_folder("clip"))) for _ in range(2))
    with torch.no_grad():
        for parameter in student.model.text_model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    found = LayerLosses(student.model, teacher.model, Losses(**{loss: 1.0}))
    short = student.tokenize(["two dogs"])
    padded = {"input_ids": functional.pad(short["input_ids"], (0, 5), value=student.tokenizer.pad_token_id)}
    images = student.preprocess([Image.new("RGB", (40, 36), "red")])
    losses = []
    for texts in (short, padded):
        with found.recording(), torch.no_grad():
            for clip in (student, teacher):
                clip.embed_images(images)
                clip.embed_texts(texts)
        losses.append(float(found.losses(alone, student.real_tokens(texts))[loss]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0] > 1e-3


def test_a_teacher_of_another_shape_is_refused(tiny_folder: Callable[[str], Path]) -> None:
    student, teacher = (load_dense(str(tiny_folder("clip"))) for _ in range(2))
    teacher.model.text_model.encoder.layers = teacher.model.text_model.encoder.layers[:-1]
    with pytest.raises(TrainingError, match="need a teacher of the student's shape"):
        LayerLosses(student.model, teacher.model, Losses(layers=1.0))
    assert not LayerLosses(student.model, teacher.model, Losses()).active


def test_a_model_without_known_layers_is_refused() -> None:
    with pytest.raises(TrainingError, match="know no encoder layers"):
        LayerLosses(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), Losses(attention=1.0))
