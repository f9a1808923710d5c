"""One thread for torch: two that share a busy machine's cores wait for each other in small networks."""

from collections.abc import Iterator

import torch


def one_thread() -> Iterator[None]:
    """The body of a fixture."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
