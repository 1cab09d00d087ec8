import importlib.util
import sys

import pytest

from tclip.errors import RecipeError
from tclip.recipe import preflight
from tclip.recipe.local import is_local, missing
from tclip.recipe.preflight import check_recipe
from tclip.recipe.read import read_recipe

GOOD = ("model.id=ViT-B-32", "data.train=pixparse/cc3m-wds")
ROUNDED = (GOOD[0], "train=null", "calibrate.method=round", "calibrate.refit=false")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data/flickr8k", "shards", "my-clip"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("shards/00.tar", "shards/01.tar", "pairs.csv", "epoch_10.pt"):
        (tmp_path / name).touch()
    return tmp_path


def said_of(*overrides, recipe="best"):
    with pytest.raises(RecipeError) as caught:
        check_recipe(read_recipe(recipe, overrides))
    return str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        GOOD,
        (
            "model.id=my-clip",
            "data.train=data/flickr8k",
            "eval.data=[./data/flickr8k, clip-benchmark/wds_cifar10]",
        ),
        ("model.id=./my-clip", "data.train=shards/*.tar"),
        ("model.id=openai/clip-vit-base-patch32", "data.train=shards/{00..01}.tar"),
        (
            "model.id=x",
            "data.train=[hf://a/b@main/train/*.tar, pairs.csv, 'shards/0?.tar', 'datasets://imagenet-1k']",
        ),
        ("model.id=x", "data.calibrate=shards/00.tar", "train=null"),
        ("model.id=x", "train=null", "calibrate.method=round", "calibrate.refit=false"),
        (*GOOD, "eval.forms=[original, trained, packed, onnx]"),
    ],
)
def test_nothing_is_missing(overrides):
    check_recipe(read_recipe("best", overrides))


@pytest.mark.parametrize(
    ("overrides", "fragments"),
    [
        (GOOD[1:], ["model.id is not set", "--set model.id="]),
        ((GOOD[0],), ["data.train is empty but train is on", "set train to null"]),
        ((GOOD[0], "data.calibrate=shards/00.tar"), ["data.train is empty"]),
        ((GOOD[0], "train=null"), ["data.calibrate is empty", "calibrate.refit to false"]),
        ((GOOD[0], "train=null", "calibrate.method=round"), ["data.calibrate is empty"]),
        (
            (*ROUNDED, "quantize.budget=35MB"),
            ["data.calibrate is empty but quantize.budget is shared out by what each weight costs"],
        ),
        (
            (GOOD[1], "model.id=./my-clp"),
            ['model.id: no such file or folder ./my-clp. Did you mean "my-clip"?'],
        ),
        ((GOOD[1], "model.id=pairs.csv"), ["model.id: pairs.csv is a file: give the folder"]),
        (
            (GOOD[1], "model.id=./epoch_10.pt"),
            ["epoch_10.pt is a checkpoint, a folder is needed: docs/open_clip"],
        ),
        ((*GOOD, "teacher.id=/no/such/model"), ["teacher.id: no such file or folder /no/such/model."]),
        (
            (*GOOD, "data.calibrate=./shard/00.tar"),
            ["data.calibrate: no such file", 'Did you mean "shards"?'],
        ),
        (
            (*GOOD, "data.calibrate=shards/02.tar"),
            ["data.calibrate: no such file or folder shards/02.tar. Did you"],
        ),
        ((*GOOD, "data.calibrate=shards/*.tgz"), ["nothing is found by the pattern shards/*.tgz."]),
        ((*GOOD, "data.calibrate=shrads/*.tar"), ["no such folder shrads for the pattern", 'mean "shards"?']),
        ((*GOOD, "data.calibrate=shrads/{0..9}.tar"), ["no such folder shrads for the pattern"]),
        ((*GOOD, "data.calibrate=~/surely/not/here"), ["data.calibrate: no such file or folder ~/surely"]),
        ((*GOOD, "eval.data=./dat/flickr8k"), ["eval.data: no such file or folder", 'Did you mean "data"?']),
        (
            (*GOOD, "eval.data=data/flickr/test"),
            ["eval.data: no such file or folder", 'Did you mean "flickr8k"?'],
        ),
        ((*GOOD, "eval.data=shards/00.tar"), ["eval.data: shards/00.tar is a file"]),
        (
            (GOOD[0], "data.calibrate=shards", "train=null", "eval.forms=[trained]"),
            ["forms asks for trained"],
        ),
        ((*GOOD, "export.onnx=null", "eval.forms=[onnx]"), ["forms asks for onnx but export.onnx is null"]),
    ],
)
def test_what_is_missing(overrides, fragments):
    said = said_of(*overrides)
    assert said.startswith('The recipe "best" cannot run as it is:\n  ')
    assert said.count("\n") == 1
    assert all(fragment in said for fragment in fragments), said


def test_all_at_once():
    said = said_of("data.train=[./a, b.tar]", "eval.data=./c", "eval.forms=[onnx]", "export.onnx=null")
    starts = [
        "model.id",
        "data.train: no such file or folder ./a",
        "data.train: no such",
        "eval.data",
        "eval.forms",
    ]
    lines = said.splitlines()[1:]
    assert len(lines) == len(starts)
    assert all(line.strip().startswith(start) for line, start in zip(lines, starts, strict=True))


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_what_has_no_partner_is_named_and_used(kind):
    said = said_of(*GOOD, f"train.extra_{kind}=8", f"calibrate.extra_{kind}=0", f"data.{kind}=[]")
    assert f"train.extra_{kind} is 8 but data.{kind} is empty" in said
    named = "words" if kind == "texts" else "owner/pictures"
    said = said_of(*GOOD, f"data.{kind}={named}", f"train.extra_{kind}=0", f"calibrate.extra_{kind}=0")
    assert f"data.{kind} is given but nothing uses it" in said
    for section in ("train", "calibrate"):
        check_recipe(read_recipe("best", [*GOOD, f"data.{kind}={named}", f"{section}.extra_{kind}=8"]))


def test_losses_that_ask_what_belongs_together_need_captions():
    said = said_of(*GOOD, "data.captions=words", recipe="paper")
    assert "train.losses.contrastive is 1.0 but data.captions is words" in said
    assert "train.losses.interactive is 1.0 but data.captions is words" in said
    check_recipe(read_recipe("best", [*GOOD, "data.captions=words"]))
    check_recipe(read_recipe("paper", [*GOOD, "data.captions=words", "train=null"]))


def test_texts_and_images_that_are_missing_are_named():
    assert 'no such file or folder wrods. Did you mean "words"?' in said_of(*GOOD, "data.texts=[wrods]")
    assert 'no such file or folder corps. Did you mean "crops"?' in said_of(*GOOD, "data.images=[corps]")
    assert "data.texts: no such file" in said_of(
        *GOOD, "data.texts=[words, ./prompts.txt]", "train.extra_texts=8"
    )


def test_datasets_sources_need_their_package(monkeypatch):
    source = "data.train=datasets://owner/name"
    check_recipe(read_recipe("best", [*GOOD, source]))
    assert importlib.util.find_spec("datasets")
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    assert "datasets://owner/name needs the datasets package" in said_of(*GOOD, source)


@pytest.mark.parametrize(
    "name", ["./x", "../x", "/x", "~/x", "x.tar", "X.TAR", "a/x.tgz", "a/*", "a/b/c", "shards"]
)
def test_local_names(name):
    assert is_local(name)


@pytest.mark.parametrize(
    "name", ["owner/name", "ViT-B-32", "hf://a/b/*.tar", "datasets://a/b", "hf://datasets/a/b/c"]
)
def test_names_that_need_not_be_local(name):
    assert not is_local(name)


def test_what_exists_is_not_missing(folder):
    assert missing(str(folder / "shards/*.tar")) is None
    assert missing(str(folder / "**/*.csv")) is None
    (folder / "odd[1]").mkdir()
    assert missing("odd[1]") is None


def test_what_an_earlier_recipe_lacked_too_is_let_pass():
    earlier = read_recipe("best", ("model.id=./moved", "data.train=./moved.tar"))
    check_recipe(earlier, earlier)
    with pytest.raises(RecipeError) as caught:
        check_recipe(read_recipe("best", ("model.id=./moved", "data.train=gone", "eval.data=petz")), earlier)
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        "data.train",
        "eval.data",
    ]


def test_a_tracker_that_is_not_installed_is_told_with_its_package(monkeypatch):
    asked = (*GOOD, "train.tracker=comet_ml")
    monkeypatch.setattr(
        preflight, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None, origin="x")
    )
    check_recipe(read_recipe("best", asked))
    # a folder of that name beside us, as trackers leave them, is no package
    monkeypatch.setattr(preflight, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None))
    assert "train.tracker: comet_ml is not installed: pip install comet-ml" in said_of(*asked[2:], *GOOD)
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    assert "pip install comet-ml" in said_of(*asked)
    check_recipe(read_recipe("best", (*ROUNDED, "data.train=[]")))


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_compiling_needs_a_compiler_that_runs(monkeypatch, compiler):
    monkeypatch.setenv("CXX", compiler)
    assert f"but {compiler} does not run: install it, or set it to false" in said_of(
        *GOOD, "train.compile=true"
    )
    check_recipe(read_recipe("best", GOOD))
    monkeypatch.setenv("CXX", sys.executable)
    check_recipe(read_recipe("best", (*GOOD, "train.compile=true")))


def test_trackers_have_a_nearest_name():
    with pytest.raises(RecipeError, match='Did you mean "tensorboard"'):
        read_recipe("best", (*GOOD, "train.tracker=tensorbord"))
