"""Pieces of work side by side, and what that leaves behind."""

import itertools
import threading

import pytest
from threadpoolctl import threadpool_limits

from bfncodec.exact import threads


@pytest.mark.parametrize("limit", [1, 2])
def test_items_come_in_order(limit: int) -> None:
    with threadpool_limits(limit, "blas"):
        assert list(threads.ahead(iter(range(20)))) == list(range(20))
        assert list(threads.ahead([])) == []
        assert threads.count() == limit


@pytest.mark.parametrize("limit", [1, 2])
def test_errors_come_where_their_item_would(limit: int) -> None:
    def source() -> object:
        yield 1
        raise ValueError("here")

    with threadpool_limits(limit, "blas"):
        items = threads.ahead(source())
        assert next(items) == 1
        with pytest.raises(ValueError, match="here"):
            next(items)
        assert threads.count() == limit


def test_one_thread_makes_its_items_itself() -> None:
    with threadpool_limits(1, "blas"):
        made = list(threads.ahead(threading.get_ident() for _ in range(3)))
    assert set(made) == {threading.get_ident()}


def test_two_users_at_once_leave_the_threads_as_they_were() -> None:
    """The first of them ends before the second."""
    with threadpool_limits(2, "blas"):
        inside, leave = threading.Event(), threading.Event()

        def other() -> None:
            for _ in threads.ahead(range(1)):
                inside.set()
                leave.wait(10)

        thread = threading.Thread(target=other)
        for _ in threads.ahead(range(1)):
            assert threads.count() == 1
            thread.start()
            assert inside.wait(10)
        leave.set()
        thread.join()
        assert threads.count() == 2


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_users_that_begin_together_leave_the_threads_as_they_were(order: tuple[int, ...]) -> None:
    """In whatever order they end: all of them have seen two threads before one of them takes a single one."""
    with threadpool_limits(2, "blas"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threads, "count", lambda: 2)
            users = [threads.ahead(range(2)) for _ in order]
            assert [next(user) for user in users] == [0, 0, 0]
        for number in order:
            assert threads.count() == 1
            users[number].close()
        assert threads.count() == 2
        assert next(threads.ahead(range(2))) == 0, "and the next one begins anew"
        assert threads.count() == 2
