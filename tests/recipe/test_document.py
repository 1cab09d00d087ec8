import pytest
from hypothesis import given
from hypothesis import strategies as st

from tclip.errors import RecipeError
from tclip.recipe.document import Located, dotted, merge, parse, read_document

KEYS = st.sampled_from("abcd")
PLAIN = st.recursive(
    st.one_of(st.none(), st.integers(), st.booleans()),
    lambda inner: st.one_of(st.dictionaries(KEYS, inner, max_size=3), st.lists(inner, max_size=2)),
    max_leaves=8,
)


def located(value, where="x"):
    if isinstance(value, dict):
        return Located({key: located(child, where) for key, child in value.items()}, where)
    if isinstance(value, list):
        return Located([located(child, where) for child in value], where)
    return Located(value, where)


def overlay(base, top):
    """Say by leaves what a merge means: each path of the top replaces what the base has there."""
    if not isinstance(base, dict) or not isinstance(top, dict):
        return top
    return {
        key: top[key] if key not in base else base[key] if key not in top else overlay(base[key], top[key])
        for key in {*base, *top}
    }


@given(PLAIN, PLAIN)
def test_merge_means_overlay(base, top):
    assert merge(located(base), located(top)).plain() == overlay(base, top)


@given(PLAIN)
def test_merge_with_itself_or_with_nothing_changes_nothing(value):
    assert merge(located(value), located(value)).plain() == value
    if isinstance(value, dict):
        assert merge(located(value), located({})).plain() == value
        assert merge(located({}), located(value)).plain() == value


MAPPINGS = st.dictionaries(KEYS, PLAIN, max_size=3)


@given(MAPPINGS, MAPPINGS)
def test_merge_leaves_its_arguments_alone(base, top):
    below, above = located(base), located(top)
    merge(below, above)
    assert (below.plain(), above.plain()) == (base, top)


def test_merged_values_keep_their_places():
    merged = merge(located({"a": {"b": 1, "c": 2}}, "base"), located({"a": {"c": None}}, "top"))
    assert merged.find(("a", "b")).where == "base"
    assert merged.find(("a", "c")).where == "top"
    assert merged.find(("a", "c")).value is None
    assert merged.find(("a", "missing", "deeper")) == merged.value["a"]


def test_places_are_lines_and_columns_from_one():
    problems = []
    tree = parse("a:\n  b: [1,\n    2]\n  c: {d: 3}\n", "f", problems)
    places = {keys: tree.find(keys).where for keys in [("a",), ("a", "b"), ("a", "b", 1), ("a", "c", "d")]}
    assert places == {("a",): "f:1:1", ("a", "b"): "f:2:3", ("a", "b", 1): "f:3:5", ("a", "c", "d"): "f:4:7"}
    assert problems == []


def test_anchors_are_shared_values():
    assert parse("a: &x {p: 1}\nb: *x\n", "f", []).plain() == {"a": {"p": 1}, "b": {"p": 1}}


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("a: 1\nb: 2\na: 3", ["f:3:1", "a is given twice", "f:1:1"]),
        ("s:\n  x: 1\n  x: 1", ["f:3:3", "s.x is given twice"]),
        ("a: &x\n  b: *x", ["a.b contains itself"]),
        ("a: !!python/object/apply:os.system [ls]", ["f:1:4", "a has the tag", "python/object/apply"]),
        ("a: !!python/name:os.system", ["f:1:4", "a has the tag"]),
        ("a: !!str {b: 1}", ["f:1:4", "a has the tag"]),
        ("a: !!python/tuple []", ["f:1:4", "a has the tag"]),
        ("a: !!int many", ["f:1:4", 'cannot read "many" as int']),
        ("? [x]\n: 1", ["f:1:3", "a key must be a word"]),
    ],
)
def test_what_is_wrong_with_well_formed_yaml(text, fragments):
    problems = []
    parse(text, "f", problems)
    assert len(problems) == 1
    assert all(fragment in problems[0] for fragment in fragments), problems


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("a: [1, 2", ["f:1:9", "not valid YAML", "flow sequence"]),
        ("a: 1\n\tb: 2", ["f:2:1", "not valid YAML"]),
        ("a:\n  include: *.fc1.weight", ["f:2:13", "must be in quotes"]),
        ("a: [**/fc1]", ["f:1:", "must be in quotes"]),
        ("a: [0?.tar]", ["f:1:6", "must be in quotes"]),
        ("a: @x", ["f:1:4", "must be in quotes"]),
        ("a: 1\n---\nb: 2", ["f:2:1", "another document"]),
        ("a: 1\n b: 2", ["f:2:", "not valid YAML"]),
        ("a: 1\nb: \x07", ["f:2: not valid YAML", "control characters"]),
    ],
)
def test_what_is_no_yaml(text, fragments):
    with pytest.raises(RecipeError) as caught:
        parse(text, "f", [])
    assert all(fragment in str(caught.value) for fragment in fragments), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (b"", ["r.yaml:1:1", "empty", "schema: 1"]),
        (b"# only a comment\n", ["empty"]),
        (b"- a\n- b\n", ["r.yaml:1:1", "a recipe is a mapping"]),
        (b"\n\njust words\n", ["r.yaml:3:1", "a recipe is a mapping"]),
        (b"\x89PNG\r\n", ["not UTF-8"]),
    ],
)
def test_files_that_are_no_recipe(tmp_path, content, fragments):
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        read_document(path, [])
    assert all(fragment in str(caught.value) for fragment in fragments), caught.value


def test_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xef\xbb\xbfschema: 1\n")
    assert read_document(path, []).plain() == {"schema": 1}


def test_unreadable_file(tmp_path):
    with pytest.raises(RecipeError, match=r"Cannot read the recipe .*gone.yaml: No such file"):
        read_document(tmp_path / "gone.yaml", [])


def test_dotted():
    assert dotted(("data", "train", 1)) == "data.train[1]"
    assert dotted(("train", "losses", "feature")) == "train.losses.feature"
