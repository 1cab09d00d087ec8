"""What is measured: its weights are told apart before they are loaded."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tclip.errors import ModelError
from tclip.evaluate.encoder import Scaled, Split
from tclip.evaluate.subject import FORMS, subject_of, subjects_of
from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tclip.recipe.schema import Model, Recipe
from tclip.run import Run
from tests.ternarizing import ternarized
from tests.tiny import edit_json


@pytest.fixture(scope="module")
def run(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose model is packed; it must not be changed."""
    original = tiny_folder("clip")
    run = Run(tmp_path_factory.mktemp("run"), Recipe(schema=1, model=Model(id=str(original))))
    write_packed(ternarized(load_dense(str(original))), run.packed)
    return run


def test_an_ordinary_model_counts_as_an_original_and_a_packed_one_as_packed(
    run: Run, tiny_folder: Callable[[str], Path]
) -> None:
    dense, packed = subject_of(str(tiny_folder("clip"))), subject_of(str(run.packed))
    assert (dense.form, packed.form) == ("original", "packed")
    assert dense.model == str(tiny_folder("clip")) and dense.weights != packed.weights
    with pytest.raises(ModelError, match="neither a folder, nor a Hub id"):
        subject_of("nothing")


def test_a_form_of_a_run_has_the_weights_of_its_folder(run: Run) -> None:
    original, packed = subjects_of(run)
    assert original.weights == subject_of(str(run.recipe.model.id)).weights
    assert packed.weights == subject_of(str(run.packed)).weights
    assert {original.model, packed.model} == {str(run.recipe.model.id)}
    assert [each.form for each in subjects_of(run, ["packed"])] == ["packed"]


def test_weights_are_told_by_content(run: Run, tmp_path: Path) -> None:
    before = subject_of(str(run.packed)).weights
    copy = shutil.copytree(run.packed, tmp_path / "copy")
    assert subject_of(str(copy)).weights == before
    edit_json(copy / "preprocessor_config.json", image_mean=[0.1, 0.1, 0.1])
    assert subject_of(str(copy)).weights != before


def test_encoders_split_their_work_and_know_their_logit_scale(run: Run) -> None:
    clip = load_dense(str(run.recipe.model.id))
    image, text = (torch.nn.functional.normalize(torch.randn(n, 24), dim=-1) for n in (2, 3))
    for form in ("original", "packed"):
        encoder = FORMS[form](run).encoder
        assert isinstance(encoder, Split) and isinstance(encoder, Scaled)
        expected = clip.logits(image, text).detach()  # of which packing keeps a float16
        torch.testing.assert_close(encoder.logit_scale * image @ text.T, expected, rtol=2e-3, atol=0)
    assert FORMS["packed"](run).encoder is not encoder


def test_an_encoder_is_loaded_once(run: Run) -> None:
    subject = FORMS["packed"](run)
    assert subject.encoder is subject.encoder
