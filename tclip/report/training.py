"""The curves of training, from RUN/steps/log.jsonl."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tclip.distill.log import Line, read_log
from tclip.recipe.schema import Losses
from tclip.report.page import Absent, Plot, Section
from tclip.report.plots import Theme, draw, legend, logarithmic
from tclip.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Training"
# what else the log holds, and how its axis is called
SIDES = {"lr": "learning rate", "grad_norm": "gradient norm"}
NO_CURVE = {"step", "seconds", "loss"}
FEW = 30  # lines of a log below which each is marked


def training_section(run: Run) -> Section | Absent:
    """Return the plot of losses, learning rate and whatever else was logged.

    Raises:
        DataError: a line of the log is damaged.
    """
    if run.recipe.train is None:
        return Absent(TITLE, "the recipe trains nothing (train: null)")
    lines = read_log(run.steps)
    if not lines:
        return Absent(TITLE, "no log of a training", "tclip train RUN")
    last = lines[-1]
    text = (
        f"Logged up to step {last['step']:.0f}, of {run.recipe.train.batch_size} pairs each, after "
        f"{last['seconds'] / 60:.1f} minutes: the loss went from {lines[0]['loss']:.4g} (step "
        f"{lines[0]['step']:.0f}) to {last['loss']:.4g}.",
    )
    return Section("training", TITLE, text, (_plot(lines),))


def _plot(lines: Sequence[Line]) -> Plot:
    names = list(dict.fromkeys(name for line in lines for name in line))
    terms = [name for name in names if name in Losses.model_fields]
    sides = [name for name in names if name not in NO_CURVE and name not in terms]

    marker = "o" if len(lines) < FEW else ""

    def paint(figure: "Figure", theme: Theme) -> None:
        from matplotlib.ticker import MaxNLocator

        above, *below = figure.subplots(
            1 + len(sides), 1, sharex=True, squeeze=False, height_ratios=[3, *(1 for _ in sides)]
        )[:, 0]
        if len(terms) != 1:
            above.plot(*_curve(lines, "loss"), color=theme.ink, lw=2.2, marker=marker, ms=4, label="loss")
        for index, name in enumerate(terms):
            colour = theme.colours[index % len(theme.colours)]
            above.plot(*_curve(lines, name), color=colour, marker=marker, ms=4, label=name)
        above.set(yscale="log", ylabel="loss and its terms")
        logarithmic(above.yaxis)
        legend(above, 7)
        for axes, name in zip(below, sides, strict=True):
            axes.plot(*_curve(lines, name), color=theme.quiet, marker=marker, ms=4)
            axes.set_ylabel(SIDES.get(name, name.replace("_", " ")))
        figure.align_ylabels()
        lowest = (above, *below)[-1]
        lowest.set_xlabel("step")
        lowest.xaxis.set_major_locator(MaxNLocator(integer=True))

    first, last = lines[0], lines[-1]
    told = f"the loss goes from {first['loss']:.4g} to {last['loss']:.4g}"
    return draw(
        "training",
        3.2 + 1.1 * len(sides),
        paint,
        alt=f"Curves over {last['step']:.0f} steps; {told}.",
        caption="Each term with its weight, as it is added up to the loss. The losses' axis is logarithmic.",
    )


def _curve(lines: Sequence[Line], name: str) -> tuple[list[float], list[float]]:
    known = [line for line in lines if name in line]
    return [line["step"] for line in known], [line[name] for line in known]
