from pathlib import Path

import pytest
from PIL import Image, ImageColor

from tclip.report.picture import HEADER, MARGIN, ROW, THUMB, TICK, block_left, ranking_picture, sheet_size

# Colours of their own, so that a cell of the picture tells which image it shows.
IMAGES = [Image.new("RGB", (32, 32), (30 * i, 255 - 30 * i, 90)) for i in range(8)]
RANKS_ORIGINAL = [[0, 1, 2, 3, 4, 5, 6, 7], [5, 4, 1, 0, 2, 3, 6, 7]]
RANKS_TERNARY = [[7, 6, 5, 4, 3, 2, 1, 0], [1, 0, 4, 5, 2, 3, 6, 7]]
RIGHT = [{0}, {1}]
QUERIES = ["a red circle", "an image of three small purple triangles on the left of two big orange crosses"]


def cell(picture: Image.Image, row: int, block: int, place: int) -> tuple[int, int]:
    x = block_left(block, 4) + place * (THUMB + 10) + THUMB // 2
    return x, MARGIN + HEADER + row * ROW + THUMB // 2


def test_each_cell_shows_the_image_ranked_there(tmp_path: Path) -> None:
    size = ranking_picture(tmp_path / "r.png", QUERIES, IMAGES, RANKS_ORIGINAL, RANKS_TERNARY, RIGHT)
    picture = Image.open(tmp_path / "r.png").convert("RGB")
    assert picture.size == size == sheet_size(2, 4)
    for block, rankings in enumerate((RANKS_ORIGINAL, RANKS_TERNARY)):
        for row, ranking in enumerate(rankings):
            for place, index in enumerate(ranking[:4]):
                shown = picture.getpixel(cell(picture, row, block, place))
                assert shown == IMAGES[index].getpixel((0, 0))
    assert [file.name for file in tmp_path.iterdir()] == ["r.png"]


def test_the_true_image_alone_is_framed(tmp_path: Path) -> None:
    ranking_picture(tmp_path / "r.png", QUERIES, IMAGES, RANKS_ORIGINAL, RANKS_TERNARY, RIGHT)
    picture = Image.open(tmp_path / "r.png").convert("RGB")
    framed = set()
    for block in (0, 1):
        for row in (0, 1):
            for place in range(4):
                x, y = cell(picture, row, block, place)
                if picture.getpixel((x, y - THUMB // 2 - 2)) == ImageColor.getrgb(TICK):
                    framed.add((block, row, place))
    assert framed == {(0, 0, 0), (0, 1, 2), (1, 1, 0)}


def test_the_place_of_a_true_image_further_down_is_written(tmp_path: Path) -> None:
    ranking_picture(tmp_path / "r.png", QUERIES, IMAGES, RANKS_ORIGINAL, RANKS_TERNARY, RIGHT)
    picture = Image.open(tmp_path / "r.png").convert("L")
    top = MARGIN + HEADER + THUMB + 5
    below = [picture.crop((block_left(b, 4), top, block_left(b, 4) + 150, top + 18)) for b in (0, 1)]
    assert below[0].getextrema()[0] > 200
    assert below[1].getextrema()[0] < 150


def test_no_right_image_is_told_of_where_there_is_none(tmp_path: Path) -> None:
    ranking_picture(tmp_path / "r.png", ["q"], IMAGES, [[0, 1]], [[0, 1]], [set()])
    picture = Image.open(tmp_path / "r.png").convert("L")
    below = picture.crop((block_left(0, 4), MARGIN + HEADER + THUMB + 5, picture.width, picture.height))
    assert below.getextrema()[0] > 200


def test_letters_of_other_scripts_are_no_boxes(tmp_path: Path) -> None:
    queries = ["кот", "пёс"]
    ranking_picture(tmp_path / "r.png", queries, IMAGES, RANKS_ORIGINAL, RANKS_TERNARY, RIGHT)
    picture = Image.open(tmp_path / "r.png").convert("L")
    words = [
        picture.crop((MARGIN, MARGIN + HEADER + row * ROW, MARGIN + 100, MARGIN + HEADER + row * ROW + THUMB))
        for row in (0, 1)
    ]
    assert words[0].tobytes() != words[1].tobytes(), "three boxes look like three others"


def test_a_picture_that_is_not_square_keeps_its_shape(tmp_path: Path) -> None:
    wide = [Image.new("RGB", (60, 30), "red")]
    ranking_picture(tmp_path / "r.png", ["q"], wide, [[0]], [[0]], [{0}], shown=1)
    picture = Image.open(tmp_path / "r.png").convert("RGB")
    left, top = block_left(0, 1), MARGIN + HEADER
    assert picture.getpixel((left + THUMB // 2, top + THUMB // 2)) == (255, 0, 0)
    assert picture.getpixel((left + THUMB // 2, top + 15)) != (255, 0, 0)


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 queries need as many"):
        ranking_picture(tmp_path / "r.png", QUERIES, IMAGES, RANKS_ORIGINAL, RANKS_TERNARY[:1], RIGHT)
    assert list(tmp_path.iterdir()) == []
