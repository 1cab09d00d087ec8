"""The classes of a sample, from files of strangers."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tclip.data.labels import classes_present
from tclip.data.tars import Group
from tclip.errors import DataError


def npy(value, version=None):
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(value), version)
    return out.getvalue()


def present(data, num_classes=3):
    return classes_present(Group("k", {"npy": data}), num_classes, "here: k")


@given(
    st.lists(st.booleans(), min_size=1, max_size=9),
    st.sampled_from(["bool", "uint8", "int64", "float32"]),
    st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_the_classes_marked_are_those_shown(marks, dtype, version):
    data = npy(np.array(marks, dtype), version)
    assert present(data, len(marks)) == tuple(index for index, mark in enumerate(marks) if mark)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy([1, 0]), r"a 0 or 1 for each of 3 classes, but has shape \[2\]"),
        (npy([[1, 0, 1]]), r"has shape \[1, 3\]"),
        (npy([1, 0, 2]), "has something else"),
        (npy([1, 0, 0.5]), "has something else"),
        (npy([1, 0, np.nan]), "has something else"),
        (npy(["1", "0", "1"]), "has something else"),
        (npy([1, 0, 1])[:-3], r"here: k\.npy cannot be read"),
        (npy([1, 0, 1])[:30], r"here: k\.npy cannot be read"),
        (b"", r"here: k\.npy cannot be read"),
        (b"\x80\x04K\x01.", r"here: k\.npy cannot be read"),
    ],
)
def test_what_is_no_mark_for_each_class_is_refused(data, message):
    with pytest.raises(DataError, match=message):
        present(data)


def test_a_pickle_within_is_not_loaded():
    out = io.BytesIO()
    np.save(out, np.array([print, 0, 1], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="Object arrays cannot be loaded"):
        present(out.getvalue())


def test_a_header_that_claims_much_costs_nothing():
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)})
    with pytest.raises(DataError, match=r"has shape \[1000000000000\]"):
        present(out.getvalue())


def test_no_file_is_told_with_those_there():
    with pytest.raises(DataError, match=r"here: k has no classes \(\.npy\), only cls, jpg"):
        classes_present(Group("k", {"jpg": b"", "cls": b"1"}), 3, "here: k")
