"""Images made of the pairs' own: by which name, of which samples, and when."""

from dataclasses import replace

import pytest
from PIL import Image

from tclip.data.decoder import Decoder
from tclip.data.images import image_sources
from tclip.data.loader import iter_images
from tclip.data.made import MAKERS, Made
from tclip.data.sample import Sample
from tclip.data.screen import decode
from tclip.data.stream import SPARES, Draw, PairStream
from tclip.errors import DataError
from tclip.recipe import local

from .making import Listed, pair_members, picture, write_layout

EACH = pytest.mark.parametrize("maker", MAKERS)


@EACH
def test_the_decoder_makes_what_is_to_be_made_alone(maker: str) -> None:
    seen: list[bytes] = []

    def preprocess(images: list[Image.Image]) -> dict:
        seen.extend(image.tobytes() for image in images)
        return {}

    source = Listed([[Sample(f"k{i}", picture(i, size=(40, 30)), ("a",)) for i in range(12)]])
    decoder = Decoder(preprocess, views=3, min_crop=0.5, seed=0)
    draws = [Draw(7, sample) for shard in Made(source, maker).shards() for sample in shard]
    decoder[[draws[: 2 + SPARES]]]
    wholes = [decode(picture(i, size=(40, 30))) for i in range(2)]
    assert seen == [MAKERS[maker].make(whole, f"k{i}", 7).tobytes() for i, whole in enumerate(wholes)]
    assert decoder.view_index(draws[0]) == 7
    assert decoder.view_index(Draw(7, next(iter(source)))) < 3


@EACH
def test_a_maker_makes_one_image_of_each_pair(tmp_path, maker: str) -> None:
    for name in ("one", "two"):
        write_layout(tmp_path / name, {"train": [pair_members(range(4))]}, dataset_type="retrieval")
    pairs = [str(tmp_path / "one"), str(tmp_path / "two")]
    sources = image_sources([maker, pairs[0]], pairs)
    samples = list(PairStream(sources, paired=False).epoch(0))
    assert [sample.maker for sample in samples].count(maker) == 8
    assert len({sample.key for sample in samples}) == 12
    named = {sample.key.startswith(f"images/{maker}/") for sample in samples if sample.maker}
    assert named == {True}, "what is made is not taken for its image in the cache, nor in a message"
    plain = image_sources([pairs[0]], pairs)
    assert sources[0].fingerprint() != plain[0].fingerprint()
    whole, made = iter_images(plain, 4), iter_images(sources[:1], 4)
    assert not {image.tobytes() for image in whole} & {image.tobytes() for image in made}


def test_caches_of_what_is_made_otherwise_are_not_used(monkeypatch) -> None:
    source = Listed([[Sample("k", b"", ())]])
    before = {Made(source, maker).fingerprint() for maker in MAKERS}
    assert len(before) == len(MAKERS)
    monkeypatch.setitem(MAKERS, "crops", replace(MAKERS["crops"], settings=((0.1, 0.4), 128)))
    assert Made(source, "crops").fingerprint() not in before


@EACH
def test_images_made_of_pairs_that_are_not_there(tmp_path, maker: str) -> None:
    with pytest.raises(DataError, match="does not exist"):
        image_sources([maker], [str(tmp_path / "nowhere")])


@EACH
def test_the_name_is_no_path_even_beside_a_folder_of_that_name(tmp_path, monkeypatch, maker: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / maker).mkdir()
    assert tuple(MAKERS) == local.MADE_IMAGES
    assert not local.is_local(maker)
    assert local.absolute(maker) == maker
