"""Arrays of items to train on."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bfncodec.errors import BfnError


def read(path: Path) -> NDArray[Any]:
    """The array in a .npy file; BfnError if there is none."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BfnError(f"{path} cannot be read as an array (.npy)") from error
    if not isinstance(array, np.ndarray):
        raise BfnError(f"{path} holds several arrays; a .npy file holds one")
    return array
