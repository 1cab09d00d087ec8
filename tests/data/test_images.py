"""Images alone: from sources of pairs, from plain folders; their texts are not asked for."""

from collections import Counter

import pytest

from tclip.data.images import image_sources, open_images
from tclip.data.pairs import open_pairs
from tclip.data.sample import Sample
from tclip.data.stream import PairStream
from tclip.errors import DataError

from .making import (
    Listed,
    broken_inside,
    class_members,
    pair_members,
    picture,
    write_jsonl,
    write_layout,
    write_tar,
)


def test_a_folder_of_pictures_however_deep(tmp_path):
    for name in ("b.jpg", "a/c.PNG", "a/deep/d.jpeg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture(len(name)))
    (tmp_path / "notes.md").write_text("no picture")
    source = open_images(str(tmp_path))
    assert sorted(sample.key for sample in source) == ["a/c.PNG", "a/deep/d.jpeg", "b.jpg"]
    assert all(sample.image_bytes == picture(len(sample.key)) for sample in source)
    before = source.fingerprint()
    assert open_images(str(tmp_path)).fingerprint() == before
    (tmp_path / "b.jpg").write_bytes(picture(99, size=(30, 20)))
    assert open_images(str(tmp_path)).fingerprint() != before


def test_any_part_of_the_stream_shows_all_classes_of_a_folder(tmp_path):
    for place in range(10 * 80):
        path = tmp_path / f"class{place // 80}" / f"{place % 80:03d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture(0))
    stream = PairStream([open_images(str(tmp_path))], shuffle_buffer=1, paired=False)
    classes = [sample.key.split("/")[2] for sample in stream.epoch(0)]
    assert len(classes) == 800
    for start in range(0, 800, 200):
        assert max(Counter(classes[start : start + 200]).values()) < 40
        assert len(set(classes[start : start + 200])) == 10


@pytest.mark.parametrize("seed", range(3))
def test_a_folder_comes_beside_tars_not_behind_them(tmp_path, seed):
    for number in range(20):
        write_tar(tmp_path / "tars" / f"{number}.tar", pair_members(range(15)))
    (tmp_path / "photos").mkdir()
    for number in range(200):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(picture(number))
    sources = image_sources(["crops", str(tmp_path / "photos")], [str(tmp_path / "tars")])
    stream = PairStream(sources, seed=seed, shuffle_buffer=1, paired=False)
    photos = [sample.maker is None for sample in stream.epoch(0)]
    assert len(photos) == 500
    assert all(20 < sum(photos[start : start + 100]) < 60 for start in range(0, 500, 100))


def test_a_source_of_pairs_gives_its_images(tmp_path):
    write_layout(tmp_path / "set", {"train": [pair_members(range(5))]}, dataset_type="retrieval")
    stream = PairStream([open_images(str(tmp_path / "set"))], paired=False)
    keys = sorted(sample.key for sample in stream.epoch(0))
    assert all(key.startswith("images/set/train/0.tar") for key in keys)
    assert [key[-5:] for key in keys] == [f"s{number:04d}" for number in range(5)]


@pytest.mark.parametrize("files", [{}, {"classnames": "cat\n"}], ids=["no names", "no templates"])
def test_of_a_layout_folder_classes_are_not_looked_at(tmp_path, files):
    write_layout(tmp_path, {"train": [class_members([0, 7])]}, **files)
    before = open_images(str(tmp_path)).fingerprint()
    assert [sample.captions for sample in open_images(str(tmp_path))] == [(), ()]
    (tmp_path / "classnames.txt").write_text("dog\n")
    assert open_images(str(tmp_path)).fingerprint() == before
    with pytest.raises(DataError):
        list(open_pairs(str(tmp_path)))


def test_of_tars_captions_are_not_looked_at(tmp_path):
    tar = write_tar(tmp_path / "0.tar", pair_members(range(3)))
    for spec in (tmp_path, tar, tmp_path / "*.tar"):
        assert [(len(sample.image_bytes) > 0, sample.captions) for sample in open_images(str(spec))] == [
            (True, ())
        ] * 3


@pytest.fixture
def labelled(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    return tmp_path


@pytest.mark.parametrize("spec", ["", "labels.csv"])
def test_a_table_needs_no_captions(labelled, spec):
    (labelled / "labels.csv").write_text("file_name,label\n0.jpg,cat\n1.jpg,dog\n")
    samples = sorted(open_images(str(labelled / spec)), key=lambda sample: sample.key)
    assert [(sample.image_bytes, sample.captions) for sample in samples] == [
        (picture(0), ()),
        (picture(1), ()),
    ]
    with pytest.raises(DataError, match="called text or caption"):
        open_pairs(str(labelled / spec))


def test_a_table_keeps_the_splits_of_a_folder_apart(labelled):
    for split, number in (("train", 0), ("test", 1)):
        write_jsonl(labelled / f"{split}.jsonl", [{"image": f"{number}.jpg", "text": 7}])
    assert [sample.image_bytes for sample in open_images(str(labelled))] == [picture(0)]
    assert [sample.image_bytes for sample in open_images(str(labelled), "test")] == [picture(1)]


@pytest.mark.parametrize("name", ["notes.csv", "notes.jsonl"])
@pytest.mark.parametrize("text", ["", '{"id": 1}\n'])
def test_a_table_that_names_no_images_is_none(labelled, name, text):
    (labelled / name).write_text(text)
    assert len(list(open_images(str(labelled)))) == 4
    (labelled / "train.csv").write_text("image\n2.jpg\n")
    assert [sample.image_bytes for sample in open_images(str(labelled))] == [picture(2)]


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
