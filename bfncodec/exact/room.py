"""Memory for large tables that are read here and there: zeros that begin with a line of the processor's cache."""

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

LINE = 64  # bytes
_LARGE = 1 << 21  # bytes of a large page


def zeros(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array of zeros; in large pages where the system has them and they pay."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size >= _LARGE and hasattr(mmap, "MADV_HUGEPAGE"):
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            pages.madvise(mmap.MADV_HUGEPAGE)
        except OSError:  # a kernel without them
            pass
        return np.frombuffer(pages, dtype, math.prod(shape)).reshape(shape)
    whole = np.zeros(size + LINE, np.uint8)
    start = -whole.ctypes.data % LINE
    return whole[start : start + size].view(dtype).reshape(shape)


def placed(array: NDArray[Any]) -> NDArray[Any]:
    """A copy in such memory."""
    copy = zeros(array.shape, array.dtype)
    copy[...] = array
    return copy
