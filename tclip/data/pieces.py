"""What lies on disk file by file, or row by row, is cut into pieces without regard to its order.

Files are sorted by name and tables by what their maker liked, most often by class. Pieces of neighbours would
show one class after the other, however the pieces are shuffled.
"""

from array import array
from collections.abc import Sequence

from tclip.data.sample import derived

PIECE = 256  # samples: so small that even a few thousand make several pieces to read side by side


def pieces(num: int) -> list[Sequence[int]]:
    """Return the numbers below `num` in an order without a pattern, the same each time, cut into pieces.

    There is at least one piece; it is empty where `num` is 0.
    """
    order = array("q", range(num))
    derived("pieces").shuffle(order)
    return [order[start : start + PIECE] for start in range(0, max(num, 1), PIECE)]
