"""The plot of all layers: a column a tower, output errors above, zeros below."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tclip.calibrate.report import LayerReport
from tclip.report.page import Plot
from tclip.report.plots import MARKERS, Theme, draw, logarithmic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path

BLOCK = re.compile(r"\.layers?\.(\d+)\.")
BEFORE = ("embedding", "patch")  # roles in front of the first block; others without a block follow the last
TOWERS = ("image", "text")
SPREAD = 0.8  # of the way between two blocks, for the weights of one
ROW = 2.4  # inches
TERNARY = "ternary"
Looks = dict[str, tuple[str, str]]  # colour and marker by role
Point = tuple[float, float, "Layer"]  # x, y, whose


@dataclass(frozen=True)
class Layer:
    """A weight after calibration, and the zeros that its codes have once packed (None: not packed)."""

    report: LayerReport
    packed_zeros: float | None

    @property
    def zeros(self) -> float:
        """Share of zero codes in what is shipped; before packing, after calibration."""
        return self.report.zeros if self.packed_zeros is None else self.packed_zeros

    @property
    def is_ternary(self) -> bool:
        """Whether it is ternary, and not of 4 or 8 bits."""
        return self.report.form == TERNARY


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
    """Draw every layer's error, where it was looked at, and the share of zeros of those that are ternary."""
    towers = [tower for tower in TOWERS if any(layer.report.tower == tower for layer in layers)]
    panels = (_errors, _zeros) if any(layer.report.error is not None for layer in layers) else (_zeros,)
    numerals = sorted({layer.report.form for layer in layers} - {TERNARY})

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

    zeros = [100 * layer.zeros for layer in layers if layer.is_ternary]
    return draw(
        "layers",
        0.4 + ROW * len(panels),
        paint,
        alt=f"Output error and zeros of {len(layers)} layers: from {min(zeros):.1f} to {max(zeros):.1f} "
        "percent of the codes of ternary ones are zero. The table below holds all values.",
        caption=" ".join(_caption(len(panels) > 1, [form[0] for form in numerals])),
    )


def _caption(with_errors: bool, numerals: Sequence[str]) -> Iterator[str]:
    if not with_errors:
        yield "Share of zero codes of the ternary weights. No output error was looked at."
        return
    yield "Above: output error, rounded (hollow) and calibrated (filled)."
    if numerals:
        yield f"The numerals {' and '.join(numerals)} mark weights of so many bits."
    yield "Below: share of zero codes of the ternary weights."


def _looks(layers: Sequence[Layer], theme: Theme) -> Looks:
    roles = sorted({layer.report.role for layer in layers}, key=lambda role: (role not in BEFORE, role))
    return dict(zip(roles, zip(theme.colours, MARKERS, strict=True), strict=False))


def _errors(axes: "Axes", layers: Sequence[Layer], looks: Looks, theme: Theme) -> None:
    rounded, calibrated = list[Point](), list[Point]()
    for x, layer in zip(places(layers), layers, strict=True):
        report = layer.report
        if report.rounded_error is not None and report.error is not None:
            rounded.append((x, report.rounded_error, layer))
            calibrated.append((x, report.error, layer))
            axes.plot([x, x], [report.rounded_error, report.error], color=theme.line, lw=1, zorder=1)
    _mark(axes, rounded, looks, filled=theme.sheet)
    _mark(axes, calibrated, looks)
    axes.set_yscale("log")
    logarithmic(axes.yaxis)


def _zeros(axes: "Axes", layers: Sequence[Layer], looks: Looks, theme: Theme) -> None:
    points = zip(places(layers), layers, strict=True)
    _mark(axes, [(x, 100 * layer.zeros, layer) for x, layer in points if layer.is_ternary], looks)


def _mark(axes: "Axes", points: Sequence[Point], looks: Looks, filled: str | None = None) -> None:
    """Draw marks: of a ternary weight that of its role, of one of 4 or 8 bits the numeral."""
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point[2].report.role, point[2].report.form), []).append(point)
    for (role, form), of_group in groups.items():
        colour, marker = looks[role]
        xs, ys = [x for x, _, _ in of_group], [y for _, y, _ in of_group]
        size, mark, line = (18, marker, 1.0) if form == TERNARY else (50, _numeral(form[0]), 0.5)
        axes.scatter(xs, ys, s=size, marker=mark, facecolors=filled or colour, edgecolors=colour, lw=line)


def _numeral(digit: str) -> "Path":
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    outline = TextPath((0, 0), digit)
    return Path(outline.vertices - outline.get_extents().get_points().mean(axis=0), outline.codes)


def _name_blocks(axes: "Axes", layers: Sequence[Layer]) -> None:
    blocks = sorted({block for layer in layers if (block := block_of(layer.report.name)) is not None})
    ticks = {block: str(block) for block in blocks[:: 1 + len(blocks) // 13]}
    if min(places(layers)) < -SPREAD / 2:
        ticks[-1] = "in"
    if blocks and max(places(layers)) > blocks[-1] + SPREAD / 2:
        ticks[blocks[-1] + 1] = "out"
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlabel("block")
