from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tclip.recipe.quantize import Part, Quantize
from tclip.recipe.read import read_recipe
from tclip.recipe.schema import (
    Calibrate,
    Data,
    Eval,
    Export,
    Losses,
    Model,
    Onnx,
    Pack,
    Recipe,
    Teacher,
    Train,
)
from tclip.recipe.write import write_recipe

TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["no", "1e-4", "null", "~", "", "2024-01-01", "*.fc1", "a: b", " x ", "010", "<<", "é\u2028\n"]
    ),
)
NAMES = st.lists(TEXT, max_size=3).map(tuple)
SHARE = st.floats(0, 1)
ABOVE_ZERO = st.floats(0, 1, exclude_min=True)
COUNT = st.integers(1, 10**12)
PARTS = st.builds(
    Part, preset=st.sampled_from(["none", "ffn", "attn", "linear", "all"]), include=NAMES, exclude=NAMES
)
LOSSES = st.builds(Losses, feature=st.floats(0.001, 1e9), contrastive=st.floats(0, 1e9), layers=SHARE)


@st.composite
def trains(draw):
    by_steps = draw(st.booleans())
    return Train(
        steps=draw(COUNT) if by_steps else None,
        minutes=None if by_steps else draw(st.floats(0, 1e300, exclude_min=True)),
        lr=draw(ABOVE_ZERO),
        warmup=draw(st.floats(0, 0.5)),
        recovery=draw(st.floats(0, 0.5)),
        losses=draw(LOSSES),
        precision=draw(st.sampled_from(["auto", "float32", "bfloat16"])),
        seed=draw(st.integers(0, 2**64)),
    )


RECIPES = st.builds(
    Recipe,
    name=TEXT,
    model=st.builds(Model, id=st.none() | TEXT, revision=st.none() | TEXT),
    teacher=st.builds(Teacher, id=st.none() | TEXT, cache=st.booleans()),
    data=st.builds(
        Data, train=NAMES, split=TEXT, min_crop=ABOVE_ZERO, text_tokens=st.none() | st.integers(4)
    ),
    quantize=st.builds(
        Quantize,
        image=PARTS,
        text=PARTS,
        bits=st.dictionaries(TEXT, st.sampled_from([4, 8]), max_size=2),
        budget=st.none() | st.sampled_from(["35MB", "3.5 GB", "112.5%"]),
        scale=st.sampled_from(["tensor", "row", "group:64"]),
    ),
    calibrate=st.builds(Calibrate, pairs=COUNT, damping=ABOVE_ZERO, refit=st.booleans()),
    train=st.none() | trains(),
    pack=st.builds(Pack, dtype=st.sampled_from(["float16", "float32"])),
    export=st.builds(Export, onnx=st.none() | st.builds(Onnx, joint=st.booleans(), min_cosine=SHARE)),
    eval=st.builds(
        Eval,
        data=NAMES,
        forms=st.lists(st.sampled_from(["original", "packed", "onnx"]), max_size=2).map(tuple),
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(RECIPES)
def test_round_trip(tmp_path, recipe):
    path = tmp_path / "recipe.yaml"
    write_recipe(recipe, path)
    assert read_recipe(path) == recipe


@pytest.mark.parametrize("name", ["ptq", "paper", "q-ffn", "best"])
def test_resolved_shipped_recipes_stand_alone(tmp_path, name):
    recipe = read_recipe(name)
    write_recipe(recipe, tmp_path / "recipe.yaml")
    text = (tmp_path / "recipe.yaml").read_text()
    assert "extends" not in text
    assert read_recipe(tmp_path / "recipe.yaml") == recipe


def leaves(values, prefix=""):
    for key, value in values.items():
        yield from leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]


def test_every_value_is_explicit_in_the_order_of_the_schema(tmp_path):
    write_recipe(Recipe(), tmp_path / "recipe.yaml")
    written = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert list(leaves(written)) == list(leaves(Recipe().model_dump(by_alias=True)))
    assert next(iter(written)) == "schema"


def test_writing_twice_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_recipe(read_recipe("best"), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "recipe.yaml"
    write_recipe(Recipe(name="old"), path)

    def no_space(self, target):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OSError, match="no space"):
        write_recipe(Recipe(name="new"), path)
    assert read_recipe(path).name == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["recipe.yaml"]
