"""What calibration looks at is what the data hold, decoded as it is prepared."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from tclip.calibrate import pairs
from tclip.calibrate.pairs import read_pairs
from tclip.data.images import image_sources
from tclip.data.loader import iter_images, iter_pairs
from tclip.data.pairs import open_pairs
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tests.distill.making import recipe, write_pairs


@pytest.fixture
def clip(tiny_folder: Callable[[str], Path]) -> Clip:
    return load_dense(str(tiny_folder("clip")))


@pytest.mark.parametrize(("num", "seen"), [(12, 8), (6, 5)])
def test_pairs_come_first_then_extras_then_what_was_not_seen(
    clip: Clip, tmp_path: Path, num: int, seen: int
) -> None:
    spec = str(write_pairs(tmp_path / "pairs", num))
    settings = {"pairs": 8, "extra_images": 3, "extra_texts": 2, "batch_size": 4}
    made = recipe(
        Path(clip.source.id), Path(spec), calibrate=settings, data={"images": ["crops"], "texts": ["words"]}
    )
    found, unseen = read_pairs(made, clip, 8, 2)
    taken = list(iter_pairs([open_pairs(spec, "train")], 10))
    extras = list(iter_images(image_sources(["crops"], [spec], "train"), 3))
    for part, images, more in ((found, taken[:seen], extras), (unseen, taken[seen:], [])):
        expected = clip.preprocess([image for image, _ in images] + more)["pixel_values"]
        chunks = [chunk["pixel_values"] for chunk in part.images]
        assert torch.equal(torch.cat(chunks), expected)
        assert [len(chunk) for chunk in chunks[:-1]] == [4] * (len(chunks) - 1)
    ids = clip.tokenize([text for _, text in taken[:4]])["input_ids"]
    assert torch.equal(found.texts[0]["input_ids"], ids)


def test_a_seed_draws_other_pairs_parts_and_texts_and_the_same_ones_again(clip: Clip, tmp_path: Path) -> None:
    spec = write_pairs(tmp_path / "pairs", 12)
    data = {"images": ["crops"], "texts": ["words"]}

    def drawn(seed: int) -> list[Tensor]:
        """Of one seed: images of pairs, parts, images that were not seen, captions, made-up texts."""
        settings = {"extra_images": 3, "extra_texts": 2, "seed": seed}
        made = recipe(Path(clip.source.id), spec, calibrate=settings, data=data)
        found, unseen = pairs.read_pairs(made, clip, 8, 2)
        images, texts = found.images[0]["pixel_values"], found.texts[0]["input_ids"]
        return [images[:8], images[8:], unseen.images[0]["pixel_values"], texts[:8], texts[8:]]

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))


def test_no_image_is_held_once_it_is_prepared(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`preprocess` gets generators, not lists."""
    spec = write_pairs(tmp_path / "pairs", 6)
    preprocess, given = clip.preprocess, []

    def watched(self: Clip, images: Iterable[Image.Image]) -> Any:
        given.append(isinstance(images, list))
        return preprocess(images)

    monkeypatch.setattr(Clip, "preprocess", watched)
    made = recipe(Path(clip.source.id), spec, calibrate={"extra_images": 2}, data={"images": ["crops"]})
    pairs.read_pairs(made, clip, 4, 2)
    assert given == [False, False]
