"""Images alone: from sources of pairs, from plain folders; their texts are not asked for."""

import pytest

from tclip.data.images import open_images
from tclip.data.sample import Sample
from tclip.data.stream import PairStream
from tclip.errors import DataError

from .making import Listed, broken_inside, pair_members, picture, write_layout


def test_a_folder_of_pictures_however_deep(tmp_path):
    for name in ("b.jpg", "a/c.PNG", "a/deep/d.jpeg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture(len(name)))
    (tmp_path / "notes.md").write_text("no picture")
    source = open_images(str(tmp_path))
    assert [sample.key for sample in source] == ["a/c.PNG", "a/deep/d.jpeg", "b.jpg"]
    assert all(sample.image_bytes == picture(len(sample.key)) for sample in source)
    before = source.fingerprint()
    assert open_images(str(tmp_path)).fingerprint() == before
    (tmp_path / "b.jpg").write_bytes(picture(99, size=(30, 20)))
    assert open_images(str(tmp_path)).fingerprint() != before


def test_a_source_of_pairs_gives_its_images(tmp_path):
    write_layout(tmp_path / "set", {"train": [pair_members(range(5))]}, dataset_type="retrieval")
    stream = PairStream([open_images(str(tmp_path / "set"))], paired=False)
    keys = sorted(sample.key for sample in stream.epoch(0))
    assert all(key.startswith("images/set/train/0.tar") for key in keys)
    assert [key[-5:] for key in keys] == [f"s{number:04d}" for number in range(5)]


def test_captions_are_not_asked_for_but_whole_images_are():
    samples = [Sample(f"k{i}", picture(i), ()) for i in range(150)] + [
        Sample("bad", broken_inside()[:40], ())
    ]
    found = {sample.key for sample in PairStream([Listed([samples])], paired=False).epoch(0)}
    assert found == {f"images/listed/k{i}" for i in range(150)}
    with pytest.raises(DataError, match="samples are broken"):
        list(PairStream([Listed([samples])]).epoch(0))


def test_what_holds_no_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no data that is known"):
        open_images(str(tmp_path))
    with pytest.raises(DataError, match="does not exist"):
        open_images(str(tmp_path / "nowhere"))
