"""Stacks to begin with."""

import numpy as np

from bfncodec.coding.ans import Coder


def random_coder(size: int, seed: int = 0) -> Coder:
    """A stack of so many bytes."""
    return Coder(np.random.default_rng(seed).bytes(size - 1) + b"\1")
