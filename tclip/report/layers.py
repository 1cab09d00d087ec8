"""The layers of a run: how far each one's output is from the original's, how many of its codes are zero."""

import json
from collections.abc import Sequence

from tclip.calibrate.report import LayerReport
from tclip.errors import DataError, first_line
from tclip.packed.read import read_packed
from tclip.progress import Table
from tclip.report.layer_plot import Layer, plot_layers
from tclip.report.page import Absent, Section, Sheet
from tclip.run import Run

TITLE = "Layer by layer"


def read_layers(run: Run) -> list[Layer]:
    """Return the layers of RUN/results/calibration.json, none if it is not there.

    Raises:
        DataError: the file is damaged.
        FormatError: the packed model is damaged.
    """
    path = run.results / "calibration.json"
    if not path.is_file():
        return []
    try:
        layers = json.loads(path.read_text(encoding="utf-8"))["layers"]
        reports = [LayerReport(**layer) for layer in layers]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({first_line(error)}): run `tclip calibrate` again.") from error
    zeros: dict[str, float] = {}
    if run.packed.is_dir():
        packed = read_packed(run.packed)
        zeros = {name: tensor.zeros for name, tensor in (packed.ternary | packed.ints).items()}
    return [Layer(report, zeros.get(report.name)) for report in reports]


def layers_section(run: Run) -> Section | Absent:
    """Return the plot and the folded table of all layers.

    Raises:
        DataError, FormatError: as read_layers.
    """
    layers = read_layers(run)
    if not layers:
        return Absent(TITLE, "no record of a calibration", "tclip calibrate RUN")
    text = ["Each mark is one weight with codes and scales, in the order of the blocks."]
    measured = [layer.report for layer in layers if layer.report.error is not None]
    if measured:
        rounded, calibrated = (
            _mean([getattr(report, name) for report in measured]) for name in ("rounded_error", "error")
        )
        text.append(
            "The output error is E|y − y′|² / E|y|² on the pairs of calibration, y the original's output. "
            f"Its mean went from {rounded:.3f} (hollow: plainly rounded) to {calibrated:.3f} (filled) by "
            "calibration alone, before any training."
        )
    return Section(
        "layers", TITLE, tuple(text), (plot_layers(layers),), (Sheet(_table(layers), folded=True),)
    )


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


def _table(layers: Sequence[Layer]) -> Table:
    rows = [
        [
            layer.report.name,
            layer.report.tower,
            layer.report.role,
            layer.report.form,
            _rounded(layer.report.rounded_error, 4),
            _rounded(layer.report.error, 4),
            round(100 * layer.report.zeros, 1),
            _rounded(None if layer.packed_zeros is None else 100 * layer.packed_zeros, 1),
            layer.report.how,
        ]
        for layer in layers
    ]
    columns = ["weight", "tower", "role", "form", "error, rounded", "error, calibrated"]
    zeros = ["zeros, calibrated, %", "zeros, packed, %"]
    return Table(f"All {len(layers)} weights with codes", [*columns, *zeros, "how"], rows)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
