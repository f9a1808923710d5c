"""Who is told that functions are being compiled, which takes seconds. Importing this loads no compiler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_listeners: list[Callable[[bool], None]] = []


@contextmanager
def listening(listener: Callable[[bool], None]) -> Iterator[None]:
    """Tell `listener` when compiling begins (True) and when it ends (False); code that lies in the cache is no case."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell(compiling: bool) -> None:
    """Tell whoever asked last."""
    for listener in _listeners[-1:]:
        listener(compiling)
