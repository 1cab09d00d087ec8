import math

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from tclip.recipe.yaml12 import SCALAR_TAGS, Dumper, Loader, plain_value, scalar_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-2e+3", -2e3),
        ("1.5e-3", 1.5e-3),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("+3", 3),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        # What YAML 1.1 turns into something else:
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("089x", "089x"),
        ("e5", "e5"),
        ("1e", "1e"),
        (".", "."),
        ("a: b # c", "a: b # c"),
        ("*.fc1.weight", "*.fc1.weight"),
    ],
)
def test_plain_words(text, value):
    found = plain_value(text)
    assert found == value
    assert type(found) is type(value)


def test_nan():
    assert math.isnan(plain_value(".NaN"))


def test_leading_zero_is_decimal():
    assert plain_value("089") == 89


def test_explicit_tags():
    assert scalar_value("tag:yaml.org,2002:str", "5") == "5"
    with pytest.raises(ValueError, match="many"):
        scalar_value("tag:yaml.org,2002:int", "many")
    assert not any("python" in tag for tag in SCALAR_TAGS)


@example("\x85")
@example("a\u2028b")
@example("\ufeff")
@given(st.one_of(st.text(), st.floats(allow_nan=False), st.integers(), st.booleans(), st.none()))
def test_dumped_scalars_compose_to_the_same_value(value):
    node = yaml.compose(yaml.dump({"key": value}, Dumper=Dumper, allow_unicode=True), Loader)
    scalar = node.value[0][1]
    found = scalar_value(scalar.tag, scalar.value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["no", "12:30", "1e-4", "2024-01-01", "010", "null", "~", "true"])
def test_dumped_text_stays_text_for_yaml_1_1_readers_too(text):
    assert yaml.safe_load(yaml.dump([text], Dumper=Dumper)) == [text]


def test_equal_parts_are_written_in_full():
    part = ["a"]
    assert "&" not in yaml.dump({"x": part, "y": part}, Dumper=Dumper)


def test_other_users_of_yaml_are_left_alone():
    assert yaml.safe_load("a: 1e-4\nb: no") == {"a": "1e-4", "b": False}
