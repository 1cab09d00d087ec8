"""A picture of pictures: what a search found, with rank, score and name."""

import os
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tclip.runtime.search import Hit

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

TILE = 200
MARGIN = 12
CAPTION = 34
COLUMNS = 5
# What systems bring, by the names that Pillow finds them under: first those of many alphabets.
FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "segoeui.ttf",
    "arial.ttf",
    "Arial Unicode.ttf",
    "NotoSansCJK-Regular.ttc",
    "SourceHanSans-Regular.ttc",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "msyh.ttc",
    "YuGothM.ttc",
    "malgun.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "AppleSDGothicNeo.ttc",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "Nirmala.ttf",
    "LeelawUI.ttf",
    "unifont.otf",
)
NO_CHARACTER = "\U0010ffff"  # what every font draws as it draws a character that it lacks


def draw_contact_sheet(hits: Sequence[Hit], title: str, target: Path) -> None:
    """Write a PNG with the pictures in order, five a row.

    Raises:
        OSError: the picture cannot be written, or one of the hits cannot be read.
    """
    from PIL import Image, ImageDraw, ImageOps

    columns = min(COLUMNS, max(len(hits), 1))
    rows = (len(hits) + columns - 1) // columns
    size = (columns * (TILE + MARGIN) + MARGIN, CAPTION + rows * (TILE + CAPTION + MARGIN) + MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    text, font = _drawable(title, 16)
    draw.text((MARGIN, MARGIN), text, fill="black", font=font)
    for index, hit in enumerate(hits):
        left = MARGIN + index % columns * (TILE + MARGIN)
        top = CAPTION + MARGIN + index // columns * (TILE + CAPTION + MARGIN)
        with Image.open(hit.path) as image:
            thumbnail = ImageOps.contain(image.convert("RGB"), (TILE, TILE))
        sheet.paste(thumbnail, (left + (TILE - thumbnail.width) // 2, top + (TILE - thumbnail.height) // 2))
        score, font = _drawable(f"{index + 1}.  {hit.score:.3f}", 13)
        draw.text((left, top + TILE + 2), score, fill="black", font=font)
        name, font = _drawable(hit.path.name, 13)
        draw.text((left, top + TILE + 17), _shortened(name, font), fill="#555555", font=font)
    temporary = target.with_name(f".{target.name}.writing-{os.getpid()}")
    try:
        sheet.save(temporary, format="PNG")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _shortened(name: str, font: "Font") -> str:
    """The end of a name, as much as fits under a tile."""
    while font.getlength(name) > TILE and len(name) > 2:
        name = "…" + name.lstrip("…")[1:]
    return name


def _drawable(text: str, size: int) -> tuple[str, "Font"]:
    """Return a text and the font that has most of it; of what it lacks, plain letters or question marks."""
    best = min(_fonts(size), key=lambda font: len(_lacking(font, text)))
    lacking = _lacking(best, text)
    return "".join(_plain(letter, best) if letter in lacking else letter for letter in text), best


def _lacking(font: "Font", text: str) -> set[str]:
    return {letter for letter in text if not letter.isspace() and not _has(font, letter)}


def _plain(letter: str, font: "Font") -> str:
    """Return a letter without its accents, if a font has it so, else a question mark."""
    parts = unicodedata.normalize("NFKD", letter)
    return "".join(part for part in parts if not unicodedata.combining(part) and _has(font, part)) or "?"


@cache
def _fonts(size: int) -> tuple["Font", ...]:
    """Return the fonts of FONTS that are here, and at the end the one that comes with Pillow."""
    from PIL import ImageFont

    found = list[Any]()
    for name in FONTS:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return (*found, ImageFont.load_default(size))


@cache
def _has(font: "Font", letter: str) -> bool:
    drawn, empty = font.getmask(letter), font.getmask(NO_CHARACTER)
    return (drawn.size, bytes(drawn)) != (empty.size, bytes(empty))
