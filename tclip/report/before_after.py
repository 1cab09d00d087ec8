"""The section on accuracy: a table and a plot of the scores of all forms."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tclip.evaluate.table import FORMS
from tclip.progress import Table
from tclip.report.page import Absent, Plot, Section, Sheet
from tclip.report.plots import Theme, draw, legend
from tclip.report.scores import Score, Scores, forms_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Before and after"
NAMES = {"original": "original", "trained": "trained", "packed": "packed", "onnx": "ONNX"}
# how a form is marked, and how far below its row, so that equal scores do not hide each other
MARKS = {
    "original": ("o", 115, 0.0),
    "trained": ("s", 24, -0.22),
    "packed": ("o", 70, 0.0),
    "onnx": ("D", 24, 0.22),
}


def scores_section(found: Scores) -> Section | Absent:
    """Return the table and the plot of all scores."""
    again = f"{_listed(found.stale)} measured on other weights than the run holds now"
    if not found.scores:
        if found.stale:
            return Absent(TITLE, again, "tclip eval RUN")
        return Absent(TITLE, "nothing was measured on this model", "tclip eval RUN --data DIR")
    text = [_summary(found)]
    if found.stale:
        text.append(f"Left out: {again}. Run tclip eval RUN again.")
    sheets = [Sheet(_table(found.scores))]
    if found.further:
        sheets.append(Sheet(_further(found.further), folded=True))
    return Section("scores", TITLE, tuple(text), (_plot(found.scores),), tuple(sheets))


def _listed(forms: Sequence[str]) -> str:
    return f"{' and '.join(NAMES[form] for form in forms)} {'was' if len(forms) == 1 else 'were'}"


def _summary(found: Scores) -> str:
    if not found.kept:
        return (
            "What was measured of each form. For what is kept, the original and the packed model must have "
            "been measured on the same images, the original clearly above chance."
        )
    sets = "1 data set" if len(found.kept) == 1 else f"{len(found.kept)} data sets"
    return (
        f"The packed model keeps {found.mean_kept:.1%} of the original's score: the mean over the {sets} on "
        "which the original is clearly above chance. All scores are zero-shot."
    )


def _table(scores: Sequence[Score]) -> Table:
    forms = forms_of(scores)
    names = ["data set", "metric, %", "images", "chance", *(NAMES[form] for form in forms)]
    rows = [
        [
            score.dataset,
            score.label,
            score.num_samples,
            _percent(score.chance),
            *(_percent(score.values.get(form)) for form in forms),
            _percent(score.kept),
            _signed(score.change),
        ]
        for score in scores
    ]
    title = (
        "Scores in percent. Kept: packed as a share of the original. Change: packed minus original, in "
        "points; its 95 % interval (paired bootstrap)."
    )
    return Table(title, [*names, "kept", "change"], rows)


def _further(scores: Sequence[Score]) -> Table:
    forms = forms_of(scores)
    rows = [
        [
            score.dataset,
            score.label,
            *(_percent(score.values.get(form)) for form in forms),
            _signed(score.change),
        ]
        for score in scores
    ]
    title = "All other metrics, in percent, and the 95 % interval of packed minus original, in points"
    return Table(title, ["data set", "metric, %", *(NAMES[form] for form in forms), "change"], rows)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)


def _signed(change: tuple[float, float] | None) -> str | None:
    return None if change is None else " to ".join(f"{100 * end:+.1f}" for end in change).replace("-", "−")


def _plot(scores: Sequence[Score]) -> Plot:
    def paint(figure: "Figure", theme: Theme) -> None:
        axes = figure.add_subplot()
        for row, score in enumerate(scores):
            ends = [100 * score.values[form] for form in ("original", "packed") if form in score.values]
            axes.plot(
                [min(ends, default=0), max(ends, default=0)], [row, row], color=theme.quiet, lw=1, zorder=1
            )
        _mark_chance(axes, scores, theme)
        for form in forms_of(scores):
            _mark_form(axes, scores, form, theme)
        axes.set_yticks(range(len(scores)), _row_names(scores))
        axes.tick_params(axis="y", labelcolor=theme.ink, length=0)
        axes.set(xlim=(-2, 102), ylim=(len(scores) - 0.4, -0.6), xlabel="percent")
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        legend(axes, 5)

    told = "; ".join(
        f"{score.dataset} {score.label}: "
        + ", ".join(f"{NAMES[form]} {100 * value:.1f}" for form, value in score.values.items())
        for score in scores
    )
    return draw(
        "scores",
        1.1 + 0.36 * len(scores),
        paint,
        alt=f"Scores in percent. {told}.",
        caption="Hollow: the original. Filled: packed. The longer the line between them, the more was lost.",
    )


def _row_names(scores: Sequence[Score]) -> list[str]:
    names = [f"{score.dataset}  {score.label}" for score in scores]
    return [
        f"{name}, {score.num_samples} images" if names.count(name) > 1 else name
        for name, score in zip(names, scores, strict=True)
    ]


def _mark_chance(axes: "Axes", scores: Sequence[Score], theme: Theme) -> None:
    known = {row: 100 * score.chance for row, score in enumerate(scores) if score.chance is not None}
    if known:
        axes.scatter(
            list(known.values()), list(known), marker="|", s=90, c=theme.quiet, lw=1.2, label="chance"
        )


def _mark_form(axes: "Axes", scores: Sequence[Score], form: str, theme: Theme) -> None:
    marker, area, below = MARKS[form]
    edge = (theme.ink, theme.colours[1], theme.accent, theme.colours[2])[FORMS.index(form)]
    known = {row: 100 * each.values[form] for row, each in enumerate(scores) if form in each.values}
    axes.scatter(
        list(known.values()),
        [row + below for row in known],
        s=area,
        marker=marker,
        facecolors=theme.sheet if form == "original" else edge,
        edgecolors=edge,
        linewidths=1.6,
        label=NAMES[form],
        zorder=2 + FORMS.index(form),
    )
