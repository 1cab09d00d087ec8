"""Each loss against loops over the pairs, in float64."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tclip.distill.losses import (
    LOSSES,
    Views,
    contrastive,
    embedding_losses,
    feature,
    interactive,
    similarity,
)
from tclip.recipe.schema import Losses

B, E, F = 5, 6, 4


def unit(seed, *shape):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return functional.normalize(x, dim=-1)


def views(bias=None):
    def number(value):
        return torch.tensor(value, dtype=torch.float64)

    return Views(
        unit(1, B, E), unit(2, B, E), unit(3, B, F), unit(4, B, F), unit(5, B, F), unit(6, B, F),
        scale=number(7.0), bias=None if bias is None else number(bias), teacher_scale=number(11.0),
    )  # fmt: skip


def with_extras(v):
    """The same pairs, with two images and three texts more that have no partner."""
    more = {"image_MF": (unit(7, 2, F), unit(8, 2, F)), "text_NF": (unit(9, 3, F), unit(10, 3, F))}
    rows = {
        f"{whose}_{name}": torch.cat([getattr(v, f"{whose}_{name}"), extra])
        for name, extras in more.items()
        for whose, extra in zip(("projected", "teacher"), extras, strict=True)
    }
    return replace(v, **rows)


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def table(rows, columns, scale):
    return [[float(scale) * dot(row, column) for column in columns] for row in rows]


def softmax(row):
    total = sum(math.exp(x) for x in row)
    return [math.exp(x) / total for x in row]


def transposed(rows):
    return [list(column) for column in zip(*rows, strict=True)]


def diagonal_cross_entropy(rows):
    return sum(-math.log(softmax(row)[place]) for place, row in enumerate(rows)) / len(rows)


def row_kl(student, teacher):
    total = 0.0
    for student_row, teacher_row in zip(student, teacher, strict=True):
        p, q = softmax(teacher_row), softmax(student_row)
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return total / len(student)


def test_contrastive_is_clips_softmax_loss():
    v = views()
    logits = table(v.image_BE, v.text_BE, v.scale)
    expected = (diagonal_cross_entropy(logits) + diagonal_cross_entropy(transposed(logits))) / 2
    assert contrastive(v).item() == pytest.approx(expected, rel=1e-12)


def test_contrastive_with_a_bias_is_siglips_sigmoid_loss():
    v = views(bias=-2.0)
    logits = table(v.image_BE, v.text_BE, v.scale)
    expected = 0.0
    for i in range(B):
        for j in range(B):
            sign = 1 if i == j else -1
            expected += math.log(1 + math.exp(-sign * (logits[i][j] - 2.0))) / B
    assert contrastive(v).item() == pytest.approx(expected, rel=1e-12)


def test_feature_is_twice_one_minus_cosine():
    v = views()
    cosines = [dot(a, b) for a, b in zip(v.projected_image_MF, v.teacher_image_MF, strict=True)]
    cosines += [dot(a, b) for a, b in zip(v.projected_text_NF, v.teacher_text_NF, strict=True)]
    assert feature(v).item() == pytest.approx(2 * (1 - sum(cosines) / (2 * B)), rel=1e-12)


def test_interactive_meets_the_teachers_other_tower():
    v = views()
    images = table(v.projected_image_MF, v.teacher_text_NF, v.teacher_scale)
    texts = table(v.projected_text_NF, v.teacher_image_MF, v.teacher_scale)
    expected = (diagonal_cross_entropy(images) + diagonal_cross_entropy(texts)) / 2
    assert interactive(v).item() == pytest.approx(expected, rel=1e-12)


def test_similarity_is_the_rows_kl_from_the_teacher():
    v = views()
    student = table(v.image_BE, v.text_BE, v.scale)
    teacher = table(v.teacher_image_MF, v.teacher_text_NF, v.teacher_scale)
    expected = (row_kl(student, teacher) + row_kl(transposed(student), transposed(teacher))) / 2
    assert similarity(v).item() == pytest.approx(expected, rel=1e-12)


def test_a_student_equal_to_its_teacher_has_nothing_to_learn():
    v = views()
    same = replace(
        v,
        image_BE=v.teacher_image_MF,
        text_BE=v.teacher_text_NF,
        projected_image_MF=v.teacher_image_MF,
        projected_text_NF=v.teacher_text_NF,
        scale=v.teacher_scale,
    )
    assert feature(same).item() == pytest.approx(0, abs=1e-12)
    assert similarity(same).item() == pytest.approx(0, abs=1e-12)


def test_weights_scale_losses_and_zero_leaves_them_out():
    v = views()
    found = embedding_losses(v, Losses(contrastive=0.5, feature=0, interactive=3, similarity=0))
    assert found.keys() == {"contrastive", "interactive"}
    assert found["contrastive"].item() == pytest.approx(0.5 * contrastive(v).item())
    assert found["interactive"].item() == pytest.approx(3 * interactive(v).item())


def test_every_loss_has_a_weight_in_the_recipe():
    assert set(LOSSES) | {"layers", "attention"} == set(Losses.model_fields)


@pytest.mark.parametrize("loss", [contrastive, interactive, similarity])
def test_what_has_no_partner_is_never_matched(loss):
    assert torch.equal(loss(with_extras(views())), loss(views()))


def test_features_of_all_images_and_texts_count():
    v = with_extras(views())
    distances = [
        sum(2 - 2 * dot(own, wanted) for own, wanted in zip(ours, theirs, strict=True)) / len(ours)
        for ours, theirs in (
            (v.projected_image_MF, v.teacher_image_MF),
            (v.projected_text_NF, v.teacher_text_NF),
        )
    ]
    assert feature(v).item() == pytest.approx(sum(distances) / 2, rel=1e-12)
