import threading

import pytest

from tclip.data.prefetch import map_ahead, prefetch


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


@pytest.mark.parametrize("threads", [1, 3])
def test_results_of_several_threads_come_in_order(threads):
    names = set()

    def work(number):
        names.add(threading.current_thread().name)
        return number * number

    assert list(map_ahead(work, range(20), threads)) == [number * number for number in range(20)]
    assert 1 <= len(names) <= threads and all(name.startswith("tclip-data") for name in names)


def test_as_many_work_at_once_as_there_are_threads():
    together = threading.Barrier(3)
    # each waits for the two others, so one thread, or two, would never finish
    assert len(list(map_ahead(lambda _: together.wait(30), range(6), 3))) == 6


def test_no_more_is_taken_than_may_wait():
    taken = []

    def items():
        for number in range(20):
            taken.append(number)
            yield number

    ahead = map_ahead(lambda number: number, items(), 2)
    assert next(ahead) == 0
    assert taken == [0, 1, 2]
    ahead.close()
    assert taken == [0, 1, 2]


def test_an_error_of_a_thread_is_raised_in_its_turn():
    def work(number):
        if number == 2:
            raise KeyError("why")
        return number

    ahead = map_ahead(work, range(9), 4)
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(KeyError, match="why"):
        next(ahead)
    assert list(map_ahead(work, [], 2)) == []
