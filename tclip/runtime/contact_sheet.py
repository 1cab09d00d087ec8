"""A picture of pictures: what a search found, with rank, score and name."""

import os
from collections.abc import Sequence
from pathlib import Path

from tclip.runtime.search import Hit

TILE = 200
MARGIN = 12
CAPTION = 34
COLUMNS = 5


def draw_contact_sheet(hits: Sequence[Hit], title: str, target: Path) -> None:
    """Write a PNG with the pictures in order, five a row.

    Raises:
        OSError: the picture cannot be written, or one of the hits cannot be read.
    """
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    columns = min(COLUMNS, max(len(hits), 1))
    rows = (len(hits) + columns - 1) // columns
    size = (columns * (TILE + MARGIN) + MARGIN, CAPTION + rows * (TILE + CAPTION + MARGIN) + MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    draw.text((MARGIN, MARGIN), title, fill="black", font=ImageFont.load_default(16))
    for index, hit in enumerate(hits):
        left = MARGIN + index % columns * (TILE + MARGIN)
        top = CAPTION + MARGIN + index // columns * (TILE + CAPTION + MARGIN)
        with Image.open(hit.path) as image:
            thumbnail = ImageOps.contain(image.convert("RGB"), (TILE, TILE))
        sheet.paste(thumbnail, (left + (TILE - thumbnail.width) // 2, top + (TILE - thumbnail.height) // 2))
        draw.text((left, top + TILE + 2), f"{index + 1}.  {hit.score:.3f}", fill="black", font=font)
        draw.text((left, top + TILE + 17), _shortened(draw, hit.path.name, font), fill="#555555", font=font)
    temporary = target.with_name(f".{target.name}.writing-{os.getpid()}")
    try:
        sheet.save(temporary, format="PNG")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _shortened(draw: object, name: str, font: object) -> str:
    """The end of a name, as much as fits under a tile."""
    while draw.textlength(name, font=font) > TILE and len(name) > 2:  # type: ignore[attr-defined]
        name = "…" + name.lstrip("…")[1:]
    return name
