"""One picture of what compression changed: for each query text, the images both models rank first.

A row is a query; the left block is the original's ranking, the right one the ternary model's. Images
that the text is right for have a green frame and a tick; where a block has none of them, the place of
the first is written below.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from tclip.report.lettering import lettering, wrapped

MARGIN = 36
THUMB = 120
GAP = 10
BLOCK_GAP = 44
TEXT_WIDTH = 250
HEADER = 76
ROW = THUMB + 34
INK, PALE, LINE, TICK, PAPER = "#1c2330", "#6b7585", "#dfe3ea", "#149a58", "#ffffff"
FRAME = 4
LINES = 5


def ranking_picture(
    path: Path,
    queries: Sequence[str],
    images: Sequence[Image.Image],
    ranks_original: Sequence[Sequence[int]],
    ranks_ternary: Sequence[Sequence[int]],
    right: Sequence[Collection[int]],
    titles: tuple[str, str] = ("original", "ternary"),
    shown: int = 4,
) -> tuple[int, int]:
    """Write a PNG of the rankings of two models and return its width and height in pixels.

    ranks_*[q] are indices into `images`, best first, for query q; right[q] are those of the images that
    the query describes. `shown` images a block are drawn, or fewer where a ranking is shorter.
    Raises ValueError unless there is a ranking and the right images for each query.
    """
    if not len(queries) == len(ranks_original) == len(ranks_ternary) == len(right):
        raise ValueError(
            f"{len(queries)} queries need as many rankings and right images, not "
            f"{len(ranks_original)}, {len(ranks_ternary)} and {len(right)}"
        )
    sheet = Image.new("RGB", sheet_size(len(queries), shown), PAPER)
    pen = ImageDraw.Draw(sheet)
    _draw_header(pen, sheet.width, titles, shown)
    for row, (query, *rankings, true) in enumerate(
        zip(queries, ranks_original, ranks_ternary, right, strict=True)
    ):
        top = MARGIN + HEADER + row * ROW
        _draw_query(pen, query, top)
        for block, ranking in enumerate(rankings):
            _draw_block(sheet, images, ranking, true, (block_left(block, shown), top), shown)
    unfinished = path.with_name(f".{path.name}.tmp")
    sheet.save(unfinished, "PNG")
    unfinished.replace(path)
    return sheet.size


def sheet_size(num_queries: int, shown: int) -> tuple[int, int]:
    """Return width and height in pixels of a picture with so many rows and images a block."""
    return block_left(2, shown) - BLOCK_GAP + MARGIN, 2 * MARGIN + HEADER + num_queries * ROW - (
        ROW - THUMB
    ) // 2


def block_left(block: int, shown: int) -> int:
    """Return the x of a block's first image: block 0 is the original's, 1 the ternary model's."""
    return MARGIN + TEXT_WIDTH + block * (shown * (THUMB + GAP) - GAP + BLOCK_GAP)


def _draw_header(pen: ImageDraw.ImageDraw, width: int, titles: tuple[str, str], shown: int) -> None:
    bottom = MARGIN + HEADER - 22
    _write(pen, (MARGIN, MARGIN), "query", INK, 22)
    _write(pen, (MARGIN, MARGIN + 28), "what it is right for:", PALE, 14)
    _draw_tick(pen, (MARGIN + 150, MARGIN + 37))
    for block, title in enumerate(titles):
        _write(pen, (block_left(block, shown), MARGIN), title, INK, 22)
        _write(pen, (block_left(block, shown), MARGIN + 28), "ranked first, from the left", PALE, 14)
    pen.line([(MARGIN, bottom), (width - MARGIN, bottom)], LINE, 2)


def _draw_query(pen: ImageDraw.ImageDraw, query: str, top: int) -> None:
    letters = lettering(query)
    font = letters.font(17)
    text = wrapped(letters.text, font, TEXT_WIDTH - GAP, LINES)
    pen.multiline_text((MARGIN, top + THUMB // 2), text, INK, font, anchor="lm", spacing=6)


def _write(pen: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, colour: str, size: int) -> None:
    letters = lettering(text)
    pen.text(corner, letters.text, colour, letters.font(size))


def _draw_block(
    sheet: Image.Image,
    images: Sequence[Image.Image],
    ranking: Sequence[int],
    true: Collection[int],
    corner: tuple[int, int],
    shown: int,
) -> None:
    pen, (left, top) = ImageDraw.Draw(sheet), corner
    for place, index in enumerate(ranking[:shown]):
        x = left + place * (THUMB + GAP)
        sheet.paste(_thumb(images[index]), (x, top))
        if index in true:
            edge = (x - FRAME, top - FRAME, x + THUMB + FRAME - 1, top + THUMB + FRAME - 1)
            pen.rounded_rectangle(edge, FRAME, outline=TICK, width=FRAME)
            _draw_tick(pen, (x + THUMB - 12, top + 12))
    if true and not any(index in true for index in ranking[:shown]):
        first = next((place for place, index in enumerate(ranking, start=1) if index in true), None)
        where = f"at place {first}" if first else "further down"
        _write(pen, (left, top + THUMB + 5), f"the right image: {where}", PALE, 14)


def _draw_tick(pen: ImageDraw.ImageDraw, centre: tuple[int, int]) -> None:
    x, y = centre
    pen.ellipse((x - 10, y - 10, x + 10, y + 10), TICK, PAPER, 2)
    pen.line([(x - 5, y), (x - 1, y + 4), (x + 5, y - 4)], PAPER, 2, joint="curve")


def _thumb(image: Image.Image) -> Image.Image:
    scale = THUMB / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    cell = Image.new("RGB", (THUMB, THUMB), LINE)
    cell.paste(
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS),
        ((THUMB - size[0]) // 2, (THUMB - size[1]) // 2),
    )
    return cell
