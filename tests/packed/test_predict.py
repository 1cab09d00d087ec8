"""Predicted sizes against files that are written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tclip.errors import RecipeError
from tclip.models.load import load_dense
from tclip.packed.predict import budget_bytes, predicted_bytes
from tclip.packed.write import write_packed
from tests.ternarizing import MIXED_BITS, ternarized


@pytest.mark.parametrize("family", ["clip", "siglip", "chinese_clip"])
@pytest.mark.parametrize(
    ("scale", "dtype", "preset", "mixed"),
    [
        ("row", "float16", "all", False),
        ("row", "float16", "all", True),
        ("tensor", "float32", "ffn", False),
        ("group:8", "float16", "all", True),
    ],
)
def test_the_size_is_that_of_the_file_but_for_digits_of_checksums(
    tiny_folder: Callable[[str], Path],
    tmp_path: Path,
    family: str,
    scale: str,
    dtype: str,
    preset: str,
    mixed: bool,
) -> None:
    bits = MIXED_BITS if mixed else None
    clip = ternarized(load_dense(str(tiny_folder(family))), scale, preset, bits)  # type: ignore[arg-type]
    write_packed(clip, tmp_path / "packed", dtype)
    shapes = {name: tuple(tensor.shape) for name, tensor in clip.model.state_dict().items()}
    kept = {name: getattr(weight, "bits", None) for name, weight in clip.coded.items()}
    surplus = predicted_bytes(shapes, kept, scale, dtype) - (
        (tmp_path / "packed" / "model.safetensors").stat().st_size
    )
    assert 0 <= surplus < 2 * len(shapes)


SHAPES = {"a.weight": (100, 50), "b.weight": (10, 1000), "a.bias": (100,)}
BITS = dict.fromkeys(("a.weight", "b.weight"))
LEAST = predicted_bytes(SHAPES, BITS, "row", "float16")


@pytest.mark.parametrize(
    ("budget", "allowed"),
    [
        ("35MB", 35_000_000),
        ("35 MB", 35_000_000),
        ("10kB", 10_000),
        ("0.5GB", 500_000_000),
        ("115%", int(LEAST * 1.15)),
        ("100%", LEAST),
    ],
)
def test_budgets_are_read(budget: str, allowed: int) -> None:
    assert budget_bytes(budget, SHAPES, BITS, "row", "float16") == allowed


@pytest.mark.parametrize("budget", ["3kB", "99.9%"])
def test_an_impossible_budget_is_refused_with_the_least_size(budget: str) -> None:
    with pytest.raises(RecipeError, match=rf"{budget} cannot be met: .* takes {LEAST:,} bytes; set at least"):
        budget_bytes(budget, SHAPES, BITS, "row", "float16")
    (suggested,) = {f"{-(-LEAST // 10_000) / 100}MB"}
    assert budget_bytes(suggested, SHAPES, BITS, "row", "float16") >= LEAST
