"""Plots by matplotlib, each drawn twice: in the colours of light pages and in those of dark ones.

Only the canvas that writes PNG is used: no window, no global state.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tclip.report.page import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

WIDTH = 9.2  # inches
PIXELS_AN_INCH = 100  # in the page; files have twice as many, for fine screens
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")


@dataclass(frozen=True)
class Theme:
    """The colours of one kind of page; their contrast to the sheet is 3:1 at least, of text 4.5:1.

    Attributes:
        sheet: behind the plot.
        ink: texts and what matters most.
        quiet: what matters less.
        line: rules.
        accent: the ternary model.
        colours: kinds of things; told apart by markers too.
    """

    sheet: str
    ink: str
    quiet: str
    line: str
    accent: str
    colours: tuple[str, ...]


# As in page.css. The kinds are after Okabe and Ito's palette, which most eyes tell apart.
LIGHT = Theme(
    "#ffffff",
    "#1d1f22",
    "#5d6269",
    "#d9d6cf",
    "#0b6e5b",
    ("#0b6e5b", "#b4540a", "#2a63b0", "#9a3d80", "#7a6a00", "#5d6269", "#a3262a", "#7a30d0"),
)
DARK = Theme(
    "#1f2226",
    "#eceae6",
    "#a2a8b0",
    "#383d44",
    "#4fc7ad",
    ("#4fc7ad", "#f0a35e", "#7fb2f0", "#dd8cc4", "#d8c64a", "#a2a8b0", "#f08a86", "#a067f5"),
)


def draw(
    name: str, height: float, paint: Callable[["Figure", Theme], None], *, alt: str, caption: str
) -> Plot:
    """Draw a plot for light and for dark pages.

    Args:
        name: of its file, without ending.
        height: in inches; it is WIDTH wide.
        paint: draws on a figure in the colours of a theme.
        alt: what it shows, for those who do not see it.
        caption: what stands below it.
    """
    light, dark = (_png(height, paint, theme) for theme in (LIGHT, DARK))
    return Plot(
        name, alt, caption, light, dark, round(WIDTH * PIXELS_AN_INCH), round(height * PIXELS_AN_INCH)
    )


def _png(height: float, paint: Callable[["Figure", Theme], None], theme: Theme) -> bytes:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_settings(theme)):
        figure = Figure(figsize=(WIDTH, height), dpi=2 * PIXELS_AN_INCH, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        paint(figure, theme)
        written = BytesIO()
        canvas.print_png(written)
    return written.getvalue()


def _settings(theme: Theme) -> Any:
    return {
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
        "font.size": 9,
        "text.parse_math": False,  # names of data sets may hold a dollar sign
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.labelcolor": theme.quiet,
        "axes.labelsize": 8.5,
        "axes.edgecolor": theme.line,
        "axes.facecolor": theme.sheet,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": theme.line,
        "grid.linewidth": 0.6,
        "figure.facecolor": theme.sheet,
        "text.color": theme.ink,
        "xtick.color": theme.line,
        "ytick.color": theme.line,
        "xtick.labelcolor": theme.quiet,
        "ytick.labelcolor": theme.quiet,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "lines.linewidth": 1.6,
    }


def legend(axes: "Axes", columns: int) -> None:
    """Put a legend above the plot's frame, where it hides nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2, handletextpad=0.4)


def logarithmic(axis: "Axis") -> None:
    """Label a logarithmic axis by plain numbers, 1, 2 and 5 of every power of ten as far as there is room."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Move heights, keeping their order, so that none is nearer than `gap` to the next, as little as may be.

    The least squares of all moves: isotonic regression of what remains once every gap is taken away, by
    pooling adjacent violators (Barlow et al., 1972).
    """
    order = sorted(range(len(heights)), key=heights.__getitem__)
    pools: list[list[float]] = []
    for place, index in enumerate(order):
        pools.append([heights[index] - gap * place])
        while len(pools) > 1 and fmean(pools[-2]) >= fmean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    level = [fmean(pool) for pool in pools for _ in pool]
    moved = {index: level[place] + gap * place for place, index in enumerate(order)}
    return [moved[index] for index in range(len(heights))]
