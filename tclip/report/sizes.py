"""Where the bytes of a packed model are, and how they compare with the original's."""

from pathlib import Path
from typing import TYPE_CHECKING

from tclip.models.fetch import local_weight_bytes
from tclip.packed.size import Size
from tclip.packed.stage import size_table
from tclip.progress import Table
from tclip.report.page import Plot, Section, Sheet
from tclip.report.plots import Theme, draw
from tclip.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Size"
# of the files that transformers writes for a tokenizer
TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json", "added_tokens.json")
NARROW = 0.07  # share of the whole below which a part's name does not fit into it


def sizes_section(run: Run, size: Size) -> Section:
    """Return the bytes of the packed folder by what they hold, beside those of the original.

    Args:
        run: the run, packed.
        size: of its packed model.
    """
    times = size.float32_bytes / size.model_bytes
    text = (
        f"The packed weights take {megabytes(size.model_bytes)} MB: {times:.1f} times less than the same "
        f"numbers as float32. {size.ternary_share:.1%} of them are ternary, at {size.bits:.2f} bits each, "
        f"scales included; {size.zeros:.1%} of the ternary ones are zero.",
    )
    table = breakdown(run.packed, size)
    return Section("size", TITLE, text, (_plot(run, size, table),), (Sheet(table),))


def breakdown(folder: Path, size: Size) -> Table:
    """Return what the bytes of a packed folder are: the parts of its weights, the tokenizer, other files."""
    weights = size_table(folder, size)
    tokenizer = sum(
        path.stat().st_size for path in {path for name in TOKENIZER for path in folder.glob(name)}
    )
    rows = [
        *weights.rows[:-1],
        ["tokenizer", None, tokenizer, None],
        ["configuration", None, size.folder_bytes - size.model_bytes - tokenizer, None],
        ["the folder", size.num_weights, size.folder_bytes, None],
    ]
    return Table("Bytes of RUN/packed", weights.columns, rows)


def megabytes(num_bytes: int) -> float:
    """Return millions of bytes, to the hundredth below ten, else to the tenth."""
    return round(num_bytes / 1e6, 2 if num_bytes < 1e7 else 1)


def _plot(run: Run, size: Size, table: Table) -> Plot:
    whole = _whole(run, size)
    parts = [(str(label), num_bytes) for label, _, num_bytes, _ in table.rows[:-1] if num_bytes]

    def paint(figure: "Figure", theme: Theme) -> None:
        above, below = figure.subplots(2, 1, height_ratios=(len(whole), 1.4))
        _bars(above, whole, theme)
        _stack(below, parts, theme)

    told = ", ".join(f"{label} {megabytes(num_bytes)} MB" for label, num_bytes in (*whole.items(), *parts))
    return draw(
        "size",
        1.9 + 0.33 * len(whole),
        paint,
        alt=f"Bytes: {told}.",
        caption="Above: the weights alone. Below: all files of RUN/packed, what is shipped. 1 MB: 10⁶ bytes.",
    )


def _whole(run: Run, size: Size) -> dict[str, int]:
    model = run.recipe.model
    original = local_weight_bytes(str(model.id), model.revision)
    exported = sum(path.stat().st_size for path in run.onnx.glob("*_encoder.onnx"))
    bars = {"as float32": size.float32_bytes, "the original's file": original or 0}
    return {
        name: value
        for name, value in (bars | {"ONNX": exported, "packed": size.model_bytes}).items()
        if value
    }


def _bars(axes: "Axes", bars: dict[str, int], theme: Theme) -> None:
    values = [num_bytes / 1e6 for num_bytes in bars.values()]
    colours = [theme.accent if name in ("ONNX", "packed") else theme.quiet for name in bars]
    drawn = axes.barh(list(bars), values, color=colours, height=0.62)
    axes.bar_label(drawn, [str(megabytes(each)) for each in bars.values()], padding=4, color=theme.ink)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelcolor=theme.ink, length=0)
    axes.set(xlim=(0, 1.1 * max(values)), xlabel="weights, MB")
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def _stack(axes: "Axes", parts: list[tuple[str, int]], theme: Theme) -> None:
    total, left = sum(num_bytes for _, num_bytes in parts) / 1e6, 0.0
    for index, (label, num_bytes) in enumerate(parts):
        width = num_bytes / 1e6
        colour = theme.colours[index]
        axes.barh([0], [width], left=left, height=0.5, color=colour, edgecolor=theme.sheet, label=label)
        if width > NARROW * total:
            axes.text(
                left + width / 2, 0, str(megabytes(num_bytes)), color=theme.sheet, ha="center", va="center"
            )
        left += width
    axes.set(xlim=(0, 1.1 * total), ylim=(-0.4, 0.4), yticks=[], xlabel="RUN/packed, MB")
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, handlelength=1)
