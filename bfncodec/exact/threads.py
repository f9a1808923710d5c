"""How many threads there are, and using more than one."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")

_limit = 0  # of the whole process; 0: as many as there are cores
_own = threading.local()


def count() -> int:
    """Threads that work may take: one, where it is itself a part of what `each` does."""
    if getattr(_own, "part", False):
        return 1
    if not _limit and hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return _limit or os.cpu_count() or 1


def limit(threads: int) -> None:
    """Let the whole process take so many threads from now on; 0: as many as it has cores."""
    global _limit
    _limit = threads


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items; where there are threads for it, the next one is made while the last one is used."""
    if count() == 1:
        yield from items
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        source = iter(items)
        coming = pool.submit(list, islice(source, 1))
        while item := coming.result():
            coming = pool.submit(list, islice(source, 1))
            yield item[0]


def each(function: Callable[[S], T], items: list[S]) -> list[T]:
    """The function's results for all items, made beside each other."""
    if min(count(), len(items)) <= 1:
        return [function(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor  # it takes its time

    with ThreadPoolExecutor(min(count(), len(items)), initializer=_begin) as pool:
        return list(pool.map(function, items))


def _begin() -> None:
    _own.part = True
