import threading

import pytest

from tclip.data.prefetch import prefetch


def test_items_come_in_order_from_a_thread():
    names = set()

    def items():
        for number in range(5):
            names.add(threading.current_thread().name)
            yield number

    assert list(prefetch(items())) == [0, 1, 2, 3, 4]
    assert all(name.startswith("tclip-data") for name in names)


def test_one_item_is_made_ahead_and_no_more():
    made, second = [], threading.Event()

    def items():
        for number in range(9):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    ahead = prefetch(items())
    assert next(ahead) == 0
    assert second.wait(5)
    ahead.close()
    assert made == [0, 1]


def test_errors_reach_the_consumer():
    def items():
        yield 1
        raise KeyError("why")

    ahead = prefetch(items())
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="why"):
        next(ahead)


def test_nothing_gives_nothing():
    assert list(prefetch([])) == []
