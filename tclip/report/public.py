"""Accuracy against megabytes, with public small CLIPs as points to compare with.

Theirs is one task, zero-shot ImageNet-1k; only a run that was measured on the whole of it gets points there.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tclip.evaluate.suite.public import public_models
from tclip.evaluate.suite.tasks import task_named
from tclip.packed.size import Size
from tclip.progress import Table
from tclip.report.page import Plot, Section, Sheet
from tclip.report.plots import MARKERS, Theme, apart, draw, legend
from tclip.report.scores import Score, Scores
from tclip.report.sizes import megabytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Among public small CLIPs"
SMALL = Path(__file__).with_name("small_models.csv")
MOST_MILLIONS = 200  # parameters of a small one
FLOAT16 = 2  # bytes a parameter
TASK, TASK_IMAGES = "imagenet1k", 50_000  # fewer images are another task
NEAR = 1.25  # models whose sizes differ by less than this factor share a column of names
NAME_GAP = 2.1  # percent
TICKS = [digit * 10.0**power for power in range(-2, 4) for digit in (1, 2, 3, 5)]


@dataclass(frozen=True)
class SmallModel:
    """A public CLIP.

    Attributes:
        name: of the model and what it was trained on.
        family: whose it is.
        parameters: of both towers, in millions.
        top1: zero-shot on ImageNet-1k, in percent.
        source: where both were read.
    """

    name: str
    family: str
    parameters: float
    top1: float
    source: str

    @property
    def megabytes(self) -> float:
        """Its weights as float16."""
        return FLOAT16 * self.parameters


def small_models() -> list[SmallModel]:
    """Return the public models to compare with: the small ones that open_clip reports, then others."""
    source = "https://github.com/mlfoundations/open_clip/blob/main/docs/openclip_results.csv"
    rows = [row | {"family": "ViT-B", "source": source} for row in public_models()]
    lines = SMALL.read_text(encoding="utf-8").splitlines()
    rows += csv.DictReader(line for line in lines if not line.startswith("#"))
    models = [
        SmallModel(row["model"], row["family"], float(row["params_m"]), float(row[TASK]), row["source"])
        for row in rows
    ]
    return [model for model in models if model.parameters <= MOST_MILLIONS]


def same_task(found: Scores) -> Score | None:
    """Return the run's top-1 on the whole of ImageNet-1k, or None if it was not measured there."""
    for score in found.scores:
        task = task_named(score.dataset)
        if task and task.key == TASK and score.metric == "acc1" and score.num_samples == TASK_IMAGES:
            return score
    return None


def public_section(found: Scores, size: Size) -> Section:
    """Return the public models' accuracy by size, and the run's own points or why it has none.

    Args:
        found: the run's scores.
        size: of its packed model.
    """
    models, own = small_models(), same_task(found)
    text = (
        "Points of others: zero-shot top-1 on the 50,000 validation images of ImageNet-1k, as the sources in "
        "the table report it, against all their weights as float16 (2 bytes a parameter, computed).",
        _about_this_run(found, own, size),
    )
    return Section("public", TITLE, text, (_plot(models, own, size),), (Sheet(_table(models), folded=True),))


def _about_this_run(found: Scores, own: Score | None, size: Size) -> str:
    if own:
        return (
            "This run was measured on the same task: its packed model stands at the bytes of its file, its "
            "original at its weights as float16."
        )
    kept = (
        f"On its own tasks it keeps {found.mean_kept:.1%} of its original's score, which is no point here."
        if found.mean_kept is not None
        else "To measure it there: tclip eval RUN --suite imagenet1k."
    )
    return (
        "This run was not measured on the whole of ImageNet-1k, so none of its scores belongs in this plot: "
        f"the dashed line marks its packed size, {megabytes(size.model_bytes)} MB, and no accuracy. {kept}"
    )


def _table(models: Sequence[SmallModel]) -> Table:
    rows = [
        [model.name, model.parameters, round(model.megabytes, 1), model.top1, model.source]
        for model in models
    ]
    columns = ["model", "parameters, millions", "MB as float16", "ImageNet-1k top-1, %", "source"]
    return Table(f"{len(models)} public models and their sources", columns, rows)


def _own_points(own: Score | None, size: Size) -> dict[str, tuple[float, float]]:
    places = {"original": FLOAT16 * size.num_weights / 1e6, "packed": size.model_bytes / 1e6}
    values = own.values if own else {}
    return {form: (place, 100 * values[form]) for form, place in places.items() if form in values}


def _plot(models: Sequence[SmallModel], own: Score | None, size: Size) -> Plot:
    points, packed = _own_points(own, size), size.model_bytes / 1e6
    best, sizes = max(models, key=lambda model: model.top1), [model.megabytes for model in models]

    def paint(figure: "Figure", theme: Theme) -> None:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        for index, family in enumerate(dict.fromkeys(model.family for model in models)):
            chosen = [model for model in models if model.family == family]
            axes.scatter(
                [model.megabytes for model in chosen],
                [model.top1 for model in chosen],
                s=34,
                marker=MARKERS[index],
                color=theme.colours[index + 1],
                label=f"{family}, float16",
                zorder=3,
            )
        for form, (x, y) in points.items():
            fill = theme.accent if form == "packed" else theme.sheet
            name = f"this run, {form}"
            axes.scatter([x], [y], s=170, marker="*", c=fill, edgecolors=theme.accent, label=name, zorder=4)
        axes.axvline(packed, color=theme.accent, lw=1.2, ls="--", zorder=1)
        label = f" packed size of\n this run, {megabytes(size.model_bytes)} MB"
        place = axes.get_xaxis_transform()
        axes.text(packed, 0.3, label, transform=place, color=theme.accent, va="bottom", linespacing=1.4)
        _name_models(axes, models, theme)
        _finish(axes, [packed, *sizes])
        legend(axes, 5)

    told = "".join(f" This run, {form}: {x:.1f} MB, {y:.1f} percent." for form, (x, y) in points.items())
    return draw(
        "public",
        5.2,
        paint,
        alt=f"{len(models)} public CLIPs from {min(sizes):.0f} to {max(sizes):.0f} MB; the best is "
        f"{best.name} at {best.top1} percent.{told}",
        caption="Up and to the left is better. Other models, trained and measured by others.",
    )


def _finish(axes: "Axes", sizes: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    low, high = min(sizes) / 1.5, max(sizes) * 1.5
    axes.set(xlim=(low, high), xlabel="weights, MB (logarithmic)", ylabel="ImageNet-1k zero-shot top-1, %")
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _name_models(axes: "Axes", models: Sequence[SmallModel], theme: Theme) -> None:
    """Write names in a column beside the points that share it: in the middle of the plot to their left."""
    columns = list(_columns(models))
    for column in columns:
        sizes, right = [model.megabytes for model in column], column in (columns[0], columns[-1])
        heights = apart([model.top1 for model in column], NAME_GAP)
        for model, height in zip(column, heights, strict=True):
            axes.annotate(
                model.name,
                (model.megabytes, model.top1),
                (1.07 * max(sizes) if right else min(sizes) / 1.07, height),
                ha="left" if right else "right",
                va="center",
                fontsize=7.5,
                color=theme.quiet,
                zorder=2,
                arrowprops={"arrowstyle": "-", "color": theme.line, "lw": 0.8, "shrinkA": 1, "shrinkB": 4},
            )


def _columns(models: Sequence[SmallModel]) -> Iterator[list[SmallModel]]:
    ordered = sorted(models, key=lambda model: model.megabytes)
    column = ordered[:1]
    for model in ordered[1:]:
        if model.megabytes > NEAR * column[-1].megabytes:
            yield column
            column = []
        column.append(model)
    yield column
