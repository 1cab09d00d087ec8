"""Letters of contact sheets: fonts of the system where there are any, and never boxes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tclip.runtime import contact_sheet
from tclip.runtime.contact_sheet import _drawable, _fonts, draw_contact_sheet
from tclip.runtime.search import Hit


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No fonts are kept from test to test."""
    _fonts.cache_clear()
    yield
    _fonts.cache_clear()


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has none of the fonts that are looked for."""
    monkeypatch.setattr(contact_sheet, "FONTS", ("gone.ttf",))


@pytest.mark.usefixtures("no_fonts")
@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("a red square", "a red square"),
        ("un été à la plage", "un ete a la plage"),
        ("кот.png", "???.png"),
        ("a 猫\N{CAT FACE}", "a ??"),
        ("\udcff.png", "?.png"),
    ],
)
def test_without_a_font_letters_are_plain_or_question_marks(text: str, drawn: str) -> None:
    assert _drawable(text, 13)[0] == drawn


def test_a_font_of_the_system_that_has_the_letters_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    # DejaVu Sans as matplotlib brings it stands for what a system has
    dejavu = str(Path(pytest.importorskip("matplotlib").get_data_path(), "fonts/ttf/DejaVuSans.ttf"))
    monkeypatch.setattr(contact_sheet, "FONTS", (dejavu,))
    for text in ("кошка", "قطة", "été", "φως"):
        drawn, font = _drawable(text, 13)
        assert drawn == text and font.getname()[0] == "DejaVu Sans"


@pytest.mark.usefixtures("no_fonts")
def test_names_and_title_in_any_script_can_be_drawn(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "猫の写真.png")
    draw_contact_sheet([Hit(tmp_path / "猫の写真.png", 0.3)], "кошка", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
