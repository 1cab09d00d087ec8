"""Plots in both themes, and what keeps names apart."""

import io
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor

from tclip.report.plots import DARK, LIGHT, WIDTH, Theme, apart, draw, logarithmic


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance."""
    channels = [channel / 255 for channel in ImageColor.getrgb(colour)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_what_is_drawn_can_be_seen(theme: Theme) -> None:
    assert all(contrast(text, theme.sheet) >= 4.5 for text in (theme.ink, theme.quiet))
    assert all(contrast(colour, theme.sheet) >= 3 for colour in (theme.accent, *theme.colours))


def test_a_plot_is_drawn_for_both_kinds_of_pages() -> None:
    drawn: list[Theme] = []

    def paint(figure: Any, theme: Theme) -> None:
        drawn.append(theme)
        figure.add_subplot().plot([1, 2], [3, 4])

    plot = draw("line", 2.0, paint, alt="a line", caption="It rises.")
    assert drawn == [LIGHT, DARK]
    for content, theme in ((plot.light, LIGHT), (plot.dark, DARK)):
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == (2 * plot.width, 2 * plot.height) == (round(200 * WIDTH), 400)
            assert image.convert("RGB").getpixel((0, 0)) == ImageColor.getrgb(theme.sheet)


def test_the_same_plot_has_the_same_bytes() -> None:
    first, second = (
        draw("p", 1.0, lambda figure, _: figure.add_subplot().plot([0, 1]) and None, alt="", caption="")
        for _ in range(2)
    )
    assert first == second


def test_a_logarithmic_axis_has_plain_numbers() -> None:
    labels = []

    def paint(figure: Any, theme: Theme) -> None:
        axes = figure.add_subplot()
        axes.plot([1, 2], [0.012, 0.3])
        axes.set_yscale("log")
        logarithmic(axes.yaxis)
        figure.draw_without_rendering()
        labels.extend(label.get_text() for label in axes.get_yticklabels())

    draw("log", 2.0, paint, alt="", caption="")
    assert {"0.02", "0.05", "0.1", "0.2"} <= set(labels)


heights = st.lists(st.floats(0, 100), max_size=8)


@given(heights, st.floats(0.1, 10))
def test_names_are_apart_and_keep_their_order(found: list[float], gap: float) -> None:
    moved = apart(found, gap)
    order = sorted(range(len(found)), key=found.__getitem__)
    assert all(moved[b] - moved[a] >= gap - 1e-9 for a, b in itertools.pairwise(order))
    assert sum(moved) == pytest.approx(sum(found))  # of all moves the least squares: none is to one side
    assert apart(moved, gap) == pytest.approx(moved)


def test_names_move_no_more_than_need_be() -> None:
    assert apart([1.0, 5.0, 9.0], 2.0) == [1.0, 5.0, 9.0]
    assert apart([5.0, 5.0], 2.0) == [4.0, 6.0]
    assert apart([5.0, 20.0, 5.5], 2.0) == pytest.approx([4.25, 20.0, 6.25])
