"""Fonts that have the letters of a text."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tclip.report import lettering as module
from tclip.report.lettering import lettering, wrapped

OTHER = "/fonts/other.ttf"


@pytest.fixture
def with_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, frozenset[str]]]:
    """The machine's fonts by path, each with its letters, besides DejaVu Sans."""
    fonts: dict[str, frozenset[str]] = {}
    letters = module._letters
    monkeypatch.setattr(module, "_system_fonts", lambda: tuple(fonts))
    monkeypatch.setattr(module, "_letters", lambda path: fonts[path] if path in fonts else letters(path))
    for cached in (module._best, lettering):
        cached.cache_clear()
    yield fonts
    for cached in (module._best, lettering):
        cached.cache_clear()


@pytest.mark.parametrize(
    "text", ["un été à la plage", "кошка на диване", "قطة", "φωτογραφία", "ein Straßenfest"]
)
def test_many_alphabets_are_in_the_font_that_comes_along(text: str) -> None:
    found = lettering(text)
    assert found.text == text and not found.lacking
    assert found.path and Path(found.path).name == "DejaVuSans.ttf"


def test_others_are_drawn_in_a_font_of_the_machine(with_fonts: dict[str, frozenset[str]]) -> None:
    with_fonts |= {
        "/fonts/some.ttf": frozenset("猫"),
        OTHER: frozenset("猫写真a"),
        "/fonts/late.ttf": frozenset("猫写真"),
    }
    found = lettering("猫 写真")
    assert (found.text, found.path, found.lacking) == ("猫 写真", OTHER, frozenset())


def test_what_no_font_has_is_a_question_mark_and_named(with_fonts: dict[str, frozenset[str]]) -> None:
    found = lettering("猫 cat\ufe0f e\u0301")
    assert found.text.startswith("? cat") and found.lacking == {"猫"}
    with_fonts[OTHER] = frozenset("abc")
    assert lettering("猫 ca").path != OTHER, "a font that has no more of a text than DejaVu Sans"


def test_fonts_that_draw_boxes_alone_are_not_looked_at() -> None:
    module._system_fonts.cache_clear()
    assert not [path for path in module._system_fonts() if "LastResort" in path]


def test_a_font_that_is_gone_has_no_letters(tmp_path: Path) -> None:
    assert module._letters(str(tmp_path / "gone.ttf")) == frozenset()


def test_without_matplotlib_the_font_is_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    found = lettering("without matplotlib")
    assert found.path is None and found.font(17).getlength("a") > 0


@given(st.text("ab 猫", max_size=60), st.integers(1, 4))
def test_no_line_is_longer_than_the_width(text: str, most_lines: int) -> None:
    font = lettering("a").font(17)
    lines = wrapped(text, font, 60, most_lines).split("\n")
    assert len(lines) <= most_lines and all(font.getlength(line) <= 60 for line in lines)
    if not lines[-1].endswith("…"):
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_lines_break_between_words() -> None:
    font = lettering("a").font(17)
    assert wrapped("a red circle", font, int(font.getlength("a red ")) + 1, 3) == "a red\ncircle"
