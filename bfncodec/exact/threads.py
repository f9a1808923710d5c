"""How many threads there are for products, and using them for whole pieces of work instead."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import islice
from threading import RLock
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

T = TypeVar("T")

_LOCK = RLock()  # a generator may be collected, and so end, wherever its thread is
_limits: list[Any] = []  # one entry for each user of single threads; the first can restore what was before


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def count() -> int:
    """Threads that a product may take: as many as there are cores, or as --threads says."""
    return max((library["num_threads"] for library in _blas().info()), default=1)


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items; where there are threads for it, the next one is made while the last one is used.

    Products take one thread each meanwhile: two that share all cores would be in each other's way.
    """
    if count() == 1:
        yield from items
        return
    with single(), ThreadPoolExecutor(1) as pool:
        source = iter(items)
        coming = pool.submit(list, islice(source, 1))
        while item := coming.result():
            coming = pool.submit(list, islice(source, 1))
            yield item[0]


@contextmanager
def single() -> Iterator[None]:
    """Products of the whole process take one thread each until the last of those who want it so is done."""
    with _LOCK:
        _limits.append(_limits[0] if _limits else _blas().limit(limits=1))
    try:
        yield
    finally:
        with _LOCK:
            limit = _limits.pop()
            if not _limits:
                limit.restore_original_limits()
