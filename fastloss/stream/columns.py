"""Columns of a memory map: rows that lie all over its file.

To touch a number maps what lies around it: 64 KiB, or 2 MiB of a system cache of large pages.
A block of rows of 1,000 columns, each a run of its own, counts as 2 GB of this process's memory so:
with a limit of 0.1 GB, 1.6 GB were held, 0.04 are now.
"""

import mmap
from typing import Any

import numpy as np

from fastloss.stream.copied import Copied
from fastloss.stream.pages import give_back
from fastloss.typing import Array

# What touching a number maps at most.
AROUND = 1 << 21
# Columns whose pages are held at once.
TOGETHER = 8
# Of a block: in longer ones fewer rows are read by themselves.
BLOCK_BYTES = 1 << 28
# Of a budget, what may be held around the rows of a block that is read where it lies.
SHARE = 0.5


class Columns(Copied):
    """A matrix of a memory map in Fortran order, read by slices that hold few of its pages.

    Parameters
    ----------
    array : memmap
        The matrix.
    pages : mmap
        What it lies in, whose pages are given back.
    """

    beside = TOGETHER * AROUND
    block_bytes = BLOCK_BYTES

    def __init__(self, array: Array, pages: mmap.mmap) -> None:
        self._array, self._pages = np.asarray(array), pages
        self.shape, self.dtype = array.shape, array.dtype

    def read(self, low: int, high: int, out: Array) -> None:
        """Copy rows from ``low`` to before ``high``."""
        for j in range(0, self.shape[1], TOGETHER):
            out[:, j : j + TOGETHER] = self._array[low:high, j : j + TOGETHER]
            give_back(self._pages)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the numbers."""
        return np.asarray, (self._array,)


def scattered(X: Any, memory: int) -> bool:
    """Whether rows of a memory map lie in more places than a budget has room for."""
    apart = X.ndim == 2 and X.strides[0] == X.itemsize and not X.flags.c_contiguous
    return bool(apart and X.shape[1] * AROUND > SHARE * memory)
