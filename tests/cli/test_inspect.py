"""`tclip inspect`: a model by a recipe, a packed folder as it is."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tests.cli.conftest import Outcome
from tests.ternarizing import ternarized


@pytest.fixture(scope="module")
def packed(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspected") / "packed"
    write_packed(ternarized(load_dense(str(tiny_folder("clip")))), folder)
    return folder


def tables(tclip: Callable[..., Outcome], *arguments: str) -> list[dict]:
    outcome = tclip("inspect", *arguments, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    return [json.loads(line) for line in outcome.out.splitlines()]


def test_a_model_is_judged_by_the_recipe(
    tclip: Callable[..., Outcome], tiny_folder: Callable[[str], Path]
) -> None:
    everything, some = (
        tables(tclip, str(tiny_folder("clip")), "--recipe", recipe)[0] for recipe in ("best", "q-ffn")
    )
    assert "would become ternary by recipe best" in everything["title"]
    assert {row[1] for row in some["rows"] if row[4] == "ternary"} == {"ffn"}
    assert [row[5] for row in some["rows"] if row[1] == "attn"] == ["attn is not in preset ffn"] * 2
    assert {row[1] for row in everything["rows"] if row[4] == "ternary"} > {"ffn", "attn", "embedding"}


def test_a_packed_folder_is_shown_with_its_zeros(tclip: Callable[..., Outcome], packed: Path) -> None:
    weights, files = tables(tclip, str(packed))
    assert "are ternary" in weights["title"]
    for *_, form, zeros in weights["rows"]:
        assert (0 < zeros < 100) if form == "ternary" else zeros is None
    sizes = dict(files["rows"])
    assert sizes["model.safetensors"] == (packed / "model.safetensors").stat().st_size
    assert sizes.pop("all") == sum(sizes.values())


def test_each_weight_has_a_row(tclip: Callable[..., Outcome], tiny_folder: Callable[[str], Path]) -> None:
    rows = tables(tclip, str(tiny_folder("clip")), "--weights")[0]["rows"]
    by_name = {name: values for name, *values in rows}
    assert by_name["vision_model.encoder.layers.0.mlp.fc1.weight"] == ["64×32", "ternary", "preset all"]
    assert by_name["logit_scale"][1] == "float"


def test_text_is_aligned(tclip: Callable[..., Outcome], packed: Path) -> None:
    lines = tclip("inspect", str(packed)).out.splitlines()
    assert lines[2].startswith("-----  ---")
    assert lines[1].index("weights") + len("weights") == len("  ".join(lines[2].split("  ")[:4]))


@pytest.mark.parametrize("how", [(), ("--json",)])
def test_a_file_name_that_is_no_text_is_shown(
    tclip: Callable[..., Outcome], tiny_folder: Callable[[str], Path], tmp_path: Path, how: tuple[str, ...]
) -> None:
    recipe = tmp_path / os.fsdecode(b"caf\xe9.yaml")
    recipe.write_text("schema: 1\nextends: best\n")
    done = tclip("inspect", str(tiny_folder("clip")), "--recipe", str(recipe), *how)
    assert (done.code, done.err) == (0, "")
    if how:
        assert json.loads(done.out.splitlines()[0])["title"].endswith(str(recipe))
    else:
        assert "caf\\udce9.yaml" in done.out


def test_nothing_is_there(tclip: Callable[..., Outcome], tmp_path: Path) -> None:
    for path in ("surely-nothing", str(tmp_path)):
        outcome = tclip("inspect", path)
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.count("\n") == 1
