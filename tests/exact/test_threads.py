"""Pieces of work side by side, and what that leaves behind."""

import os
import threading
from collections.abc import Iterator

import pytest

from bfncodec.exact import threads


@pytest.fixture(autouse=True)
def unlimited() -> Iterator[None]:
    yield
    threads.limit(0)


@pytest.mark.parametrize("limit", [1, 2])
def test_items_come_in_order(limit: int) -> None:
    threads.limit(limit)
    assert threads.count() == limit
    assert list(threads.ahead(iter(range(20)))) == list(range(20))
    assert list(threads.ahead([])) == []


@pytest.mark.parametrize("limit", [1, 2])
def test_errors_come_where_their_item_would(limit: int) -> None:
    def source() -> object:
        yield 1
        raise ValueError("here")

    threads.limit(limit)
    items = threads.ahead(source())
    assert next(items) == 1
    with pytest.raises(ValueError, match="here"):
        next(items)


def test_one_thread_makes_its_items_itself() -> None:
    threads.limit(1)
    made = list(threads.ahead(threading.get_ident() for _ in range(3)))
    assert set(made) == {threading.get_ident()}


def test_without_a_limit_there_are_as_many_as_cores_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 6}, raising=False)
    assert threads.count() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert threads.count() == os.cpu_count()
