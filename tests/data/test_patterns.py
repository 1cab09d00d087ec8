import pytest

from tclip.data.patterns import brace_names
from tclip.errors import DataError


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("{a,b}", ["a", "b"]),
        ("x-{08..11}.tar", ["x-08.tar", "x-09.tar", "x-10.tar", "x-11.tar"]),
        ("{9..10}", ["9", "10"]),
        ("{a,b}/{0..1}", ["a/0", "a/1", "b/0", "b/1"]),
    ],
)
def test_braces_stand_for_every_combination(pattern, names):
    assert brace_names(pattern) == names


@pytest.mark.parametrize(
    "pattern", ["{0..1", "0..1}", "{{a,b},c}", "{3..1}", "{0..99999999}", "{0..9999}{0..9999}"]
)
def test_braces_that_make_no_sense_are_refused_at_once(pattern):
    with pytest.raises(DataError):
        brace_names(pattern)
