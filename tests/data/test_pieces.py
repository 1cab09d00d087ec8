from hypothesis import given
from hypothesis import strategies as st

from tclip.data.pieces import PIECE, pieces


@given(st.integers(0, 3000))
def test_every_number_is_in_one_piece(num):
    cut = pieces(num)
    assert sorted(number for piece in cut for number in piece) == list(range(num))
    assert [len(piece) for piece in cut[:-1]] == [PIECE] * (len(cut) - 1)
    assert len(cut) == max(1, -(-num // PIECE))
    assert cut == pieces(num)


def test_a_piece_is_from_all_over_and_in_no_order():
    for piece in pieces(10 * PIECE):
        for part in (piece[: PIECE // 2], piece[PIECE // 2 :]):
            assert 4 * PIECE < sum(part) / len(part) < 6 * PIECE
