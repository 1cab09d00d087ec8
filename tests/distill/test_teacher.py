"""The teacher answers from its cache, which belongs to one model, one preprocessing and one set of data."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from tclip.data.loader import Batch
from tclip.distill.teacher import Teacher, embedding_width, make_teacher
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.recipe.schema import Data
from tests.tiny import tiny_clip_folder


@pytest.fixture(scope="module")
def clip(tiny_folder: Callable[[str], Path]) -> Clip:
    return load_dense(str(tiny_folder("clip")))


def batch(clip: Clip, prefix: str = "") -> Batch:
    captions = ["a red cat", "two dogs", "a red cat"]
    images = clip.preprocess([Image.new("RGB", (40, 36), colour) for colour in ("red", "blue", "green")])
    texts = clip.tokenize(captions)
    return Batch(
        ["a", "b", "c"],
        [0, 0, 1],
        captions,
        3,
        {prefix + name: x for name, x in images.items()},
        {prefix + name: x for name, x in texts.items()},
    )


def files(teacher: Teacher) -> set[str]:
    assert teacher.images is not None
    assert teacher.texts is not None
    return {teacher.images._path.name, teacher.texts._path.name}


def test_its_embeddings_are_the_models(clip: Clip) -> None:
    given = batch(clip)
    plain = make_teacher(clip, Data(), "data", seed=0, cached=False)
    with torch.no_grad():
        expected = clip.embed_images(given.images), clip.embed_texts(given.texts)
    torch.testing.assert_close(tuple(plain.embed(given)), expected)
    cached = make_teacher(clip, Data(), "data", seed=0, cached=True)
    for found, wanted in zip(cached.embed(given), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-3)  # kept as float16
    assert plain.width == cached.width == embedding_width(clip)
    assert not any(parameter.requires_grad for parameter in clip.model.parameters())


def test_in_bfloat16_it_says_nearly_the_same_and_keeps_it_apart(clip: Clip) -> None:
    given = batch(clip)
    exact, rounded = (
        make_teacher(clip, Data(), "data", seed=0, cached=True, precision=each)
        for each in ("float32", "bfloat16")
    )
    assert not files(exact) & files(rounded)
    for one, other in zip(exact.embed(given), rounded.embed(given), strict=True):
        assert not torch.equal(one, other)
        assert torch.allclose(one, other, atol=0.02)


def test_the_second_run_computes_nothing(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    given = batch(clip)
    first = make_teacher(clip, Data(), "data", seed=0, cached=True).embed(given)

    def never(self: Clip, inputs: object) -> None:
        raise AssertionError("the teacher ran although all is known")

    monkeypatch.setattr(Clip, "embed_images", never)
    monkeypatch.setattr(Clip, "embed_texts", never)
    again = make_teacher(clip, Data(), "data", seed=0, cached=True)
    assert all(torch.equal(one, other) for one, other in zip(first, again.embed(given), strict=True))


def test_it_takes_inputs_of_its_own(clip: Clip) -> None:
    teacher = make_teacher(clip, Data(), "data", seed=0, cached=False)
    own, given = batch(clip, "teacher/"), batch(clip)
    others = Batch(
        own.keys,
        own.views,
        own.captions,
        own.num_pairs,
        {name: x * 0 for name, x in given.images.items()} | own.images,
        {name: x * 0 for name, x in given.texts.items()} | own.texts,
    )
    for found, wanted in zip(teacher.embed(others), teacher.embed(given), strict=True):
        assert torch.equal(found, wanted)


def test_a_cache_belongs_to_model_preprocessing_and_data(clip: Clip, tmp_path: Path) -> None:
    other = load_dense(str(tiny_clip_folder(tmp_path / "other", "clip", seed=7)))
    usual = files(make_teacher(clip, Data(), "data", seed=0, cached=True))
    assert files(make_teacher(clip, Data(), "data", seed=1, cached=True)) == usual  # without crops
    others = [
        files(make_teacher(clip, Data(), "other data", seed=0, cached=True)),
        files(make_teacher(other, Data(), "data", seed=0, cached=True)),
    ]
    for found in others:
        assert not found & usual
    image_only = [
        files(make_teacher(clip, Data(views=2), "data", seed=0, cached=True)),
        files(make_teacher(clip, Data(views=2), "data", seed=1, cached=True)),
        files(make_teacher(clip, Data(views=2, min_crop=0.5), "data", seed=0, cached=True)),
    ]
    assert all(len(found & usual) == 1 for found in image_only)  # the texts are the same
    assert len(set().union(usual, *image_only)) == 2 + len(image_only)
    cut = files(make_teacher(clip, Data(text_tokens=4), "data", seed=0, cached=True))
    assert len(cut & usual) == 1
    processor = type(clip.image_processor)(**clip.image_processor.to_dict() | {"do_normalize": False})
    resized = Clip(clip.model, clip.tokenizer, processor, clip.source)
    assert len(files(make_teacher(resized, Data(), "data", seed=0, cached=True)) & usual) == 1
