"""Bytes of real files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from tclip.packed.size import Stored, measure
from tclip.report.plots import Theme
from tclip.report.sizes import breakdown, megabytes, sizes_section
from tclip.run import Run

pytestmark = pytest.mark.usefixtures("undrawn")


def test_the_parts_add_up_to_the_folder(run: Run) -> None:
    table = breakdown(run.packed, measure(run.packed))
    *parts, whole = ((label, num_bytes) for label, _, num_bytes, _ in table.rows)
    on_disk = sum(path.stat().st_size for path in run.packed.rglob("*") if path.is_file())
    assert whole == ("the folder", on_disk) and sum(num_bytes for _, num_bytes in parts) == on_disk
    sizes = dict(parts)
    tokenizer = [path.stat().st_size for path in run.packed.iterdir() if path.name.startswith("tokenizer")]
    assert len(tokenizer) > 1 and sizes["tokenizer"] == sum(tokenizer)
    weights = (run.packed / "model.safetensors").stat().st_size
    assert on_disk - weights == sizes["tokenizer"] + sizes["configuration"]
    assert sizes["ternary weights, codes"] > sizes["ternary weights, scales"] > 0


def test_the_plot_names_original_and_packed(run: Run) -> None:
    size = measure(run.packed)
    (plot,) = sizes_section(run, size).plots
    original = Path(str(run.recipe.model.id), "model.safetensors").stat().st_size
    assert f"the original's file {megabytes(original)} MB" in plot.alt
    assert f"packed {megabytes(size.model_bytes)} MB" in plot.alt
    assert "ONNX" not in plot.alt
    run.onnx.mkdir()
    for name, num_bytes in (("image_encoder", 300_000), ("text_encoder", 200_000), ("clip", 900_000)):
        (run.onnx / f"{name}.onnx").write_bytes(bytes(num_bytes))
    assert "ONNX 0.5 MB" in sizes_section(run, size).plots[0].alt


def test_no_two_parts_share_a_colour(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    colours = []

    def paint(height: float, paint: Callable[[Figure, Theme], None], theme: Theme) -> bytes:
        figure = Figure()
        paint(figure, theme)
        colours.append([patch.get_facecolor() for patch in figure.axes[1].patches])
        return b""

    monkeypatch.setattr("tclip.report.plots._png", paint)
    ints = {4: Stored(100, 50), 8: Stored(100, 100)}
    sizes_section(run, replace(measure(run.packed), ints=ints))
    assert [len(set(each)) for each in colours] == [8, 8]


def test_megabytes_are_millions() -> None:
    assert [megabytes(n) for n in (347_237, 3_920_772, 31_345_678)] == [0.35, 3.92, 31.3]
