import pytest

from tclip.recipe.overrides import read_overrides


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("train.lr=1e-4", {"train": {"lr": 1e-4}}),
        ("train=null", {"train": None}),
        ("model.revision=", {"model": {"revision": None}}),
        ("teacher.cache=off", {"teacher": {"cache": "off"}}),
        ("data.train=[a, 'b c']", {"data": {"train": ["a", "b c"]}}),
        ("export={onnx: null}", {"export": {"onnx": None}}),
        ('model.revision="1234567"', {"model": {"revision": "1234567"}}),
        ("quantize.image.include=*.fc1.weight", {"quantize": {"image": {"include": "*.fc1.weight"}}}),
        ("model.id=C:\\a b: c # d", {"model": {"id": "C:\\a b: c # d"}}),
        ("data.train=hf://a/b@x=y", {"data": {"train": "hf://a/b@x=y"}}),
        (" train.steps = 10 ", {"train": {"steps": 10}}),
    ],
)
def test_values(override, values):
    problems = []
    assert read_overrides([override], problems).plain() == values
    assert problems == []


def test_later_overrides_lie_over_earlier_ones():
    tree = read_overrides(["train.lr=1", "train.seed=3", "train.lr=2"], [])
    assert tree.plain() == {"train": {"lr": 2, "seed": 3}}
    assert tree.find(("train", "lr")).where == "--set train.lr=2"
    assert tree.find(("train", "seed")).where == "--set train.seed=3"


@pytest.mark.parametrize(
    ("override", "fragments"),
    [
        ("train.lr", ["--set train.lr:", "KEY=VALUE"]),
        ("=5", ["--set =5:", "KEY=VALUE"]),
        ("train..lr=5", ["KEY=VALUE"]),
        (".lr=5", ["KEY=VALUE"]),
        ("data.train=[a, b", ["--set data.train=[a, b:", "not valid YAML"]),
        ("extends=best", ['"extends" is said in the recipe file']),
        ("schema=2", ['"schema" is said in the recipe file']),
        ("export={onnx: null, onnx: {}}", ["onnx is given twice"]),
    ],
)
def test_malformed_overrides(override, fragments):
    problems = []
    tree = read_overrides(["train.seed=1", override], problems)
    assert len(problems) == 1
    assert all(fragment in problems[0] for fragment in fragments), problems
    assert tree.plain()["train"] == {"seed": 1}
