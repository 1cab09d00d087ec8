"""Texts of pictures in a font that has their characters, whatever the script."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ImageFont

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
LAST_RESORT = "Last Resort"  # fonts that draw every character as a box
CUT = "…"
LACKING = "?"


@dataclass(frozen=True)
class Lettering:
    """A text as it can be drawn on this machine.

    Attributes:
        text: what is drawn.
        path: of the font file, None for the one that comes with Pillow.
        lacking: the characters of the text that no font has.
    """

    text: str
    path: str | None
    lacking: frozenset[str]

    def font(self, size: int) -> Font:
        """Return the font, so many pixels high."""
        return ImageFont.truetype(self.path, size) if self.path else ImageFont.load_default(size)


@cache
def lettering(text: str) -> Lettering:
    """Return a text with the first font that has all of its characters, or the one that has the most.

    DejaVu Sans, which comes with matplotlib, has Latin, Greek, Cyrillic and Arabic letters; for others the
    machine's fonts are looked at. Without matplotlib there is Pillow's font, for English alone.
    """
    if find_spec("matplotlib") is None:
        return Lettering(text, None, frozenset())
    wanted = frozenset(filter(_is_seen, text))
    path = _best(wanted)
    lacking = wanted - _letters(path)
    kept = _letters(path) | frozenset(filter(str.isspace, text))
    drawn = (LACKING if letter in lacking else letter for letter in text if letter in kept | lacking)
    return Lettering("".join(drawn), path, lacking)


def wrapped(text: str, font: Font, width: int, most_lines: int) -> str:
    """Return a text in lines of a width in pixels, broken at spaces, and within words that are too long."""
    lines = [""]
    for piece in (piece for word in text.split() for piece in _pieces(f"{word} ", font, width)):
        if font.getlength(f"{lines[-1]}{piece}".rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece
    if len(lines) > most_lines:
        last = lines[most_lines - 1].rstrip()
        while last and font.getlength(last + CUT) > width:
            last = last[:-1]
        lines[most_lines - 1 :] = [last + CUT]
    return "\n".join(line.rstrip() for line in lines)


def _pieces(word: str, font: Font, width: int) -> Sequence[str]:
    return word if font.getlength(word.rstrip()) > width else [word]


def _is_seen(letter: str) -> bool:
    """Whether a text without it is not the same: accents and joiners are left out where no font has them."""
    kind = unicodedata.category(letter)
    return not (letter.isspace() or kind.startswith("M") or kind in ("Cc", "Cf", "Cs"))


@cache
def _best(wanted: frozenset[str]) -> str:
    best = _own_font()
    fewest = len(wanted - _letters(best))
    for path in _system_fonts() if fewest else ():
        if (lacking := len(wanted - _letters(path))) < fewest:
            fewest, best = lacking, path
        if not fewest:
            break
    return best


def _own_font() -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))


@cache
def _system_fonts() -> tuple[str, ...]:
    """Return the machine's fonts, upright ones of ordinary weight first."""
    from matplotlib.font_manager import fontManager

    def rank(font: "FontEntry") -> tuple[bool, bool, str]:
        return font.style != "normal", font.weight not in (400, "normal", "regular"), font.fname

    usable = [font for font in fontManager.ttflist if not font.name.lstrip(".").startswith(LAST_RESORT)]
    return tuple(dict.fromkeys(font.fname for font in sorted(usable, key=rank)))


@cache
def _letters(path: str) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):  # removed or damaged since matplotlib listed it
        return frozenset()
