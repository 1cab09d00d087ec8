import pytest

from tclip.data.folders import LocalFolder
from tclip.data.layout import read_layout
from tclip.data.pairs import open_pairs
from tclip.errors import DataError

from .making import class_members, pair_members, picture, write_layout

TEMPLATES = "zeroshot_classification_templates"


def classes(root, members, names="cat\ndog\n", templates="a {c}\nno {braces} {c}\n"):
    return write_layout(root, {"train": [members]}, classnames=names, **{TEMPLATES: templates})


def test_retrieval_sets_are_pairs(tmp_path):
    root = write_layout(
        tmp_path / "d",
        {"train": [pair_members([0, 1]), pair_members([2])], "test": [pair_members([3])]},
        dataset_type="retrieval",
    )
    source = open_pairs(str(root))
    source.check()
    assert [sample.captions[0] for sample in source] == ["picture 0", "picture 1", "picture 2"]
    assert [shard.name for shard in source.shards()] == ["train/0.tar", "train/1.tar"]
    assert source.name == "d"
    assert source.fingerprint() != open_pairs(str(root), "test").fingerprint()


def test_shards_are_in_numeric_order(tmp_path):
    root = write_layout(tmp_path, {"train": [pair_members([n]) for n in range(11)]})
    assert [shard.name for shard in open_pairs(str(root)).shards()][-2:] == ["train/9.tar", "train/10.tar"]


def test_a_class_becomes_captions_by_its_templates(tmp_path):
    source = open_pairs(str(classes(tmp_path, class_members([1, 0]))))
    assert [sample.captions for sample in source] == [
        ("a dog", "no {braces} dog"),
        ("a cat", "no {braces} cat"),
    ]


def test_class_names_and_templates_are_in_the_fingerprint(tmp_path):
    root = classes(tmp_path, class_members([1]))
    before = open_pairs(str(root)).fingerprint()
    (root / "classnames.txt").write_text("cat\nhorse\n")
    assert open_pairs(str(root)).fingerprint() != before


def test_a_blank_line_between_names_is_a_class(tmp_path):
    """Of CLIP_benchmark's vtab/clevr_closest_object_distance, as its exporter writes it."""
    names, templates = "very nearby\nnearby\nnear\n\ndistant\nvery distant\n", "{c} shapes.\n{c}\n"
    root = classes(tmp_path, class_members([5, 3]), names, templates)
    layout = read_layout(LocalFolder(root))
    assert layout.classnames == ("very nearby", "nearby", "near", "", "distant", "very distant")
    captions = [sample.captions for sample in open_pairs(str(root))]
    assert captions == [("very distant shapes.", "very distant"), (" shapes.",)]  # none that says nothing


def test_blank_lines_at_the_end_are_no_classes(tmp_path):
    root = classes(tmp_path, class_members([2]), names="cat\ndog\n\n")
    with pytest.raises(DataError, match="s0000 has"):
        list(open_pairs(str(root)))


@pytest.mark.parametrize("label", ["2", "-1", "x", "", "1.0", "²"])
def test_a_class_out_of_range_is_named(tmp_path, label):
    members = [("s1.jpg", picture(1)), ("s1.cls", label.encode())]
    with pytest.raises(DataError, match=r"train/0\.tar\[0\]/s1 has"):
        list(open_pairs(str(classes(tmp_path, members))))


def test_a_class_without_names_is_an_error(tmp_path):
    root = write_layout(tmp_path, {"train": [class_members([0])]})
    with pytest.raises(DataError, match=r"has a class but no caption, and there is no classnames\.txt"):
        open_pairs(str(root)).check()


def test_an_unknown_split_names_those_there(tmp_path):
    root = write_layout(tmp_path, {"train": [pair_members([0])], "test": [pair_members([1])]})
    with pytest.raises(DataError, match=r'Unknown split "tset"\. Did you mean "test"\? Known: test, train'):
        open_pairs(str(root), "tset")


def test_missing_shards_are_listed(tmp_path):
    root = write_layout(tmp_path, {"train": [pair_members([0])]})
    (root / "train/nshards.txt").write_text("3")
    with pytest.raises(
        DataError, match=r"says 3 shards, 1 are there; missing:\n  train/1\.tar\n  train/2\.tar"
    ):
        open_pairs(str(root))
    (root / "train/nshards.txt").write_text("many")
    with pytest.raises(DataError, match="must be the number of shards"):
        open_pairs(str(root))


def test_bad_small_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="must hold"):
        open_pairs(str(classes(tmp_path / "a", class_members([0]), templates="a {c}\na photo\n")))
    with pytest.raises(DataError, match=r"b/classnames\.txt names no class: write one a line\."):
        open_pairs(str(classes(tmp_path / "b", class_members([0]), names=" \n\n")))
    root = classes(tmp_path / "c", class_members([0]))
    (root / f"{TEMPLATES}.txt").unlink()
    with pytest.raises(DataError, match=f"no {TEMPLATES}"):
        open_pairs(str(root))
    (root / "classnames.txt").write_bytes(b"caf\xe9")
    (root / f"{TEMPLATES}.txt").write_text("{c}")
    with pytest.raises(DataError, match="not UTF-8"):
        open_pairs(str(root))
