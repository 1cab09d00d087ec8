"""Every layer's error and zeros, and where it stands in the plot."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.figure import Figure

from tclip.calibrate.report import LayerReport
from tclip.errors import DataError
from tclip.packed.read import read_packed
from tclip.report.layer_plot import Layer, places, plot_layers
from tclip.report.layers import layers_section, read_layers
from tclip.report.page import Absent, Section
from tclip.report.plots import Theme
from tclip.run import Run

pytestmark = pytest.mark.usefixtures("undrawn")


def layer(name: str, role: str = "attn", **values: Any) -> Layer:
    fields = {"tower": "image", "how": "", "error": 0.1, "rounded_error": 0.2, "zeros": 0.5}
    return Layer(LayerReport(name=name, role=role, **(fields | values)), None)


def test_zeros_are_those_of_the_packed_codes(run: Run) -> None:
    packed = read_packed(run.packed).ternary
    layers = read_layers(run)
    assert [each.report.name for each in layers] == list(packed)
    for each in layers:
        codes = packed[each.report.name].codes.flatten().tolist()
        assert each.zeros == pytest.approx(codes.count(0) / len(codes))
        assert each.report.zeros == 0.5


def test_before_packing_zeros_are_those_of_calibration(run: Run) -> None:
    shutil.rmtree(run.packed)
    assert {(each.packed_zeros, each.zeros) for each in read_layers(run)} == {(None, 0.5)}


def test_the_section_tells_the_means_and_holds_every_layer(run: Run) -> None:
    section = layers_section(run)
    assert isinstance(section, Section)
    reports = [each.report for each in read_layers(run)]
    rounded = sum(report.rounded_error or 0 for report in reports) / len(reports)
    assert f"from {rounded:.3f} (hollow: plainly rounded) to 0.100" in section.text[-1]
    (sheet,) = section.tables
    assert sheet.folded and [row[0] for row in sheet.table.rows] == [report.name for report in reports]


def test_weights_of_more_bits_are_numerals_and_not_among_the_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def paint(height: float, paint: Callable[[Figure, Theme], None], theme: Theme) -> bytes:
        figure = Figure()
        paint(figure, theme)
        drawn.append([[len(each.get_offsets()) for each in axes.collections] for axes in figure.axes])
        return b""

    monkeypatch.setattr("tclip.report.plots._png", paint)
    plot = plot_layers(
        [
            layer("vision_model.encoder.layers.0.a.weight", zeros=0.4),
            layer("vision_model.encoder.layers.0.b.weight", zeros=0.2, form="4 bits"),
            layer("vision_model.encoder.layers.0.c.weight", zeros=0.1, form="8 bits"),
            layer("vision_model.encoder.layers.1.a.weight", zeros=0.5),
        ]
    )
    errors, zeros = drawn[0]
    assert errors == [2, 1, 1, 2, 1, 1, 0] and zeros == [2]  # the last is of the legend
    assert "The numerals 4 and 8 mark weights of so many bits." in plot.caption
    assert "from 40.0 to 50.0 percent" in plot.alt


def test_without_errors_zeros_alone_are_drawn(run: Run) -> None:
    path = run.results / "calibration.json"
    document = json.loads(path.read_text())
    document["layers"] = [each | {"error": None, "rounded_error": None} for each in document["layers"]]
    path.write_text(json.dumps(document))
    section = layers_section(run)
    assert isinstance(section, Section)
    assert len(section.text) == 1
    assert section.plots[0].height < plot_layers([layer("a.layers.0.x")]).height


def test_a_run_without_the_record_names_the_command(run: Run) -> None:
    (run.results / "calibration.json").unlink()
    absent = layers_section(run)
    assert isinstance(absent, Absent) and absent.command == "tclip calibrate RUN"


@pytest.mark.parametrize("text", ["{", "{}", '{"layers": [{"name": "a"}]}', '{"layers": [1]}'])
def test_a_damaged_record_is_named(run: Run, text: str) -> None:
    (run.results / "calibration.json").write_text(text)
    with pytest.raises(DataError, match=r"calibration\.json is damaged"):
        read_layers(run)


def test_layers_stand_at_their_blocks() -> None:
    found = places(
        [
            layer("vision_model.embeddings.patch_embedding.weight", "patch"),
            layer("vision_model.encoder.layers.0.self_attn.q_proj.weight"),
            layer("vision_model.encoder.layers.0.mlp.fc1.weight", "ffn"),
            layer("vision_model.encoder.layers.11.mlp.fc1.weight", "ffn"),
            layer("visual_projection.weight", "projection"),
        ]
    )
    assert [round(place) for place in found] == [-1, 0, 0, 11, 12]
    assert found[1] < 0 < found[2] and found[1] == pytest.approx(-found[2])
