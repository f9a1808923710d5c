"""How many threads there are for products, and using them for whole pieces of work instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import TypeVar

from threadpoolctl import ThreadpoolController

T = TypeVar("T")


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
    with _blas().limit(limits=1), ThreadPoolExecutor(1) as pool:
        source = iter(items)
        coming = pool.submit(list, islice(source, 1))
        while item := coming.result():
            coming = pool.submit(list, islice(source, 1))
            yield item[0]
