"""The plot of all layers: a column a tower, output errors above, zeros below."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tclip.calibrate.report import LayerReport
from tclip.report.page import Plot
from tclip.report.plots import MARKERS, Theme, draw, logarithmic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLOCK = re.compile(r"\.layers?\.(\d+)\.")
BEFORE = ("embedding", "patch")  # roles in front of the first block; others without a block follow the last
TOWERS = ("image", "text")
SPREAD = 0.8  # of the way between two blocks, for the weights of one
ROW = 2.4  # inches
Looks = dict[str, tuple[str, str]]  # colour and marker by role
Point = tuple[float, float, str]  # x, y, role


@dataclass(frozen=True)
class Layer:
    """A ternary weight after calibration, and the zeros that it has once packed (None: not packed)."""

    report: LayerReport
    packed_zeros: float | None

    @property
    def zeros(self) -> float:
        """Share of zero codes in what is shipped; before packing, after calibration."""
        return self.report.zeros if self.packed_zeros is None else self.packed_zeros


def block_of(name: str) -> int | None:
    """Return the number of the block that a weight is part of, None if it is of none."""
    found = BLOCK.search(name)
    return int(found[1]) if found else None


def places(layers: Sequence[Layer]) -> list[float]:
    """Return where a tower's layers stand: those of block 3 side by side about 3, others before or behind."""
    found = [block_of(layer.report.name) for layer in layers]
    last = max((block for block in found if block is not None), default=-1)
    blocks = [
        block if block is not None else (-1 if layer.report.role in BEFORE else last + 1)
        for block, layer in zip(found, layers, strict=True)
    ]
    return [
        block + ((blocks[:index].count(block) + 0.5) / blocks.count(block) - 0.5) * SPREAD
        for index, block in enumerate(blocks)
    ]


def plot_layers(layers: Sequence[Layer]) -> Plot:
    """Draw every layer's error, where it was looked at, and its share of zeros."""
    towers = [tower for tower in TOWERS if any(layer.report.tower == tower for layer in layers)]
    panels = (_errors, _zeros) if any(layer.report.error is not None for layer in layers) else (_zeros,)

    def paint(figure: "Figure", theme: Theme) -> None:
        looks = _looks(layers, theme)
        grid = figure.subplots(len(panels), len(towers), squeeze=False, sharex="col", sharey="row")
        for column, tower in enumerate(towers):
            of_tower = [layer for layer in layers if layer.report.tower == tower]
            for row, panel in enumerate(panels):
                panel(grid[row, column], of_tower, looks, theme)
            grid[0, column].set_title(f"{tower} tower")
            _name_blocks(grid[-1, column], of_tower)
        grid[0, 0].set_ylabel("output error")
        grid[-1, 0].set_ylabel("zeros, %")
        dots = [
            figure.axes[0].scatter([], [], s=24, marker=marker, color=colour)
            for colour, marker in looks.values()
        ]
        figure.legend(dots, list(looks), loc="outside upper left", ncols=len(looks))

    zeros = [100 * layer.zeros for layer in layers]
    above = "Above: output error, rounded (hollow) and calibrated (filled). Below: share of zero codes."
    return draw(
        "layers",
        0.4 + ROW * len(panels),
        paint,
        alt=f"Output error and zeros of {len(layers)} layers: from {min(zeros):.1f} to {max(zeros):.1f} "
        "percent of the codes are zero. The table below holds all values.",
        caption=above if len(panels) > 1 else "Share of zero codes. No output error was looked at.",
    )


def _looks(layers: Sequence[Layer], theme: Theme) -> Looks:
    roles = sorted({layer.report.role for layer in layers}, key=lambda role: (role not in BEFORE, role))
    return dict(zip(roles, zip(theme.colours, MARKERS, strict=True), strict=False))


def _errors(axes: "Axes", layers: Sequence[Layer], looks: Looks, theme: Theme) -> None:
    rounded, calibrated = list[Point](), list[Point]()
    for x, layer in zip(places(layers), layers, strict=True):
        report = layer.report
        if report.rounded_error is not None and report.error is not None:
            rounded.append((x, report.rounded_error, report.role))
            calibrated.append((x, report.error, report.role))
            axes.plot([x, x], [report.rounded_error, report.error], color=theme.line, lw=1, zorder=1)
    _mark(axes, rounded, looks, filled=theme.sheet)
    _mark(axes, calibrated, looks)
    axes.set_yscale("log")
    logarithmic(axes.yaxis)


def _zeros(axes: "Axes", layers: Sequence[Layer], looks: Looks, theme: Theme) -> None:
    points = zip(places(layers), layers, strict=True)
    _mark(axes, [(x, 100 * layer.zeros, layer.report.role) for x, layer in points], looks)


def _mark(axes: "Axes", points: Sequence[Point], looks: Looks, filled: str | None = None) -> None:
    for role, (colour, marker) in looks.items():
        xs, ys = [x for x, _, of in points if of == role], [y for _, y, of in points if of == role]
        axes.scatter(xs, ys, s=18, marker=marker, facecolors=filled or colour, edgecolors=colour, lw=1)


def _name_blocks(axes: "Axes", layers: Sequence[Layer]) -> None:
    blocks = sorted({block for layer in layers if (block := block_of(layer.report.name)) is not None})
    ticks = {block: str(block) for block in blocks[:: 1 + len(blocks) // 13]}
    if min(places(layers)) < -SPREAD / 2:
        ticks[-1] = "in"
    if blocks and max(places(layers)) > blocks[-1] + SPREAD / 2:
        ticks[blocks[-1] + 1] = "out"
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlabel("block")
