"""Work ahead in background threads: one item at a time, or several at once.

PIL and torch release the interpreter while they compute, so decoding overlaps with the model's work.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def prefetch(items: Iterable[T]) -> Iterator[T]:
    """Yield the items while the next one is being made in a thread; its exceptions are raised here."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1, thread_name_prefix="tclip-data") as pool:
        ahead = pool.submit(next, iterator, end)
        while (item := ahead.result()) is not end:
            ahead = pool.submit(next, iterator, end)
            yield item  # type: ignore[misc]


def map_ahead(function: Callable[[T], U], items: Iterable[T], threads: int) -> Iterator[U]:
    """Yield function(item) in the order of the items, while so many threads work on the next ones.

    No more than `threads` results wait. An exception is raised where its result would have come.
    """
    waiting = deque[Future[U]]()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="tclip-data")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
