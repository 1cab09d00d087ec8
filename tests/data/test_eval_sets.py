import pytest

from tclip.data.eval_sets import open_eval
from tclip.data.pairs import open_pairs
from tclip.errors import DataError

from .making import class_members, multilabel_members, pair_members, picture, write_layout

TEMPLATES = "zeroshot_classification_templates"


def classes(root, members):
    return write_layout(root, {"test": [members]}, classnames="cat\ndog\n", **{TEMPLATES: "a {c}\nthe {c}\n"})


def test_a_classification_set(tmp_path):
    found = open_eval(str(classes(tmp_path / "pets", class_members([1, 0]))))
    found.check()
    assert (found.name, found.task, found.classnames) == ("pets", "zeroshot_classification", ("cat", "dog"))
    assert found.templates == ("a {c}", "the {c}")
    assert found.prompts(1) == ("a dog", "the dog")
    assert [(sample.classes, sample.captions) for sample in found] == [((1,), ()), ((0,), ())]
    assert [sample.key for sample in found] == ["test/0.tar[0]/s0000", "test/0.tar[1]/s0001"]
    assert next(iter(found)).image().size == (24, 18)


def test_a_retrieval_set(tmp_path):
    root = write_layout(
        tmp_path / "r", {"test": [pair_members([0]), pair_members([1])]}, dataset_type="retrieval"
    )
    found = open_eval(str(root))
    assert (found.task, found.classnames) == ("zeroshot_retrieval", ())
    assert [sample.captions for sample in found] == [("picture 0", "again 0"), ("picture 1", "again 1")]


def test_a_multilabel_set(tmp_path):
    members = multilabel_members([[1, 0, 1], [0, 0, 0]])
    texts = {"classnames": "cat\ndog\ncow\n", TEMPLATES: "a {c}\n", "dataset_type": "Multilabel\n"}
    root = write_layout(tmp_path / "m", {"test": [members]}, **texts)
    found = open_eval(str(root), name="voc/multi")
    assert (found.name, found.task, found.multilabel) == ("voc/multi", "zeroshot_classification", True)
    assert [sample.classes for sample in found] == [(0, 2), ()]
    assert [sample.captions for sample in open_pairs(str(root), "test")] == [("a cat", "a cow"), ()]
    before = found.fingerprint()
    (root / "dataset_type.txt").unlink()
    assert open_eval(str(root)).fingerprint() != before


def test_another_layout_is_told_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"looked for SPLIT/nshards\.txt with SPLIT/0\.tar.*classnames\.txt"):
        open_eval(str(tmp_path))
    with pytest.raises(DataError, match="no folder here"):
        open_eval(str(tmp_path / "nothing"))


def test_an_unknown_split_names_those_there(tmp_path):
    with pytest.raises(DataError, match=r'Unknown split "train"\. Known: test'):
        open_eval(str(classes(tmp_path, class_members([0]))), "train")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("s.jpg", b"x"), ("s.cls", b"2")], r's has class "2", but classnames\.txt names 0 to 1'),
        ([("s.jpg", b"x"), ("s.npy", b"2")], r"s has no class \(\.cls\), only jpg, npy"),
        ([("s.txt", b"x"), ("s.cls", b"1")], "s has no image, only txt, cls"),
        ([], "has no samples in test"),
    ],
)
def test_a_bad_sample_is_named(tmp_path, members, message):
    with pytest.raises(DataError, match=message):
        open_eval(str(classes(tmp_path, members))).check()


def test_an_image_without_captions_is_named(tmp_path):
    root = write_layout(
        tmp_path, {"test": [[("s.jpg", picture(1)), ("s.txt", b"\n")]]}, dataset_type="retrieval"
    )
    with pytest.raises(DataError, match="s has no captions"):
        open_eval(str(root)).check()


def test_a_broken_image_is_named_and_not_skipped(tmp_path):
    found = open_eval(str(classes(tmp_path, [("s.jpg", b"<html>"), ("s.cls", b"1")])))
    with pytest.raises(DataError, match=r"The test image test/0\.tar\[0\]/s cannot be decoded"):
        next(iter(found)).image()


def test_the_fingerprint_follows_the_data(tmp_path):
    root = classes(tmp_path, class_members([1, 0]))
    before = open_eval(str(root)).fingerprint()
    (root / f"{TEMPLATES}.txt").write_text("{c}\n")
    assert open_eval(str(root)).fingerprint() != before
