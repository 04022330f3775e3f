"""Columns of a memory map: rows that lie all over its file.

To touch a number maps what lies around it: 64 KiB, or 2 MiB of a system cache of large pages.
A block of rows of 1,000 columns, each a run of its own, counts as 2 GB of this process's memory so:
with a limit of 0.1 GB, 1.6 GB were held, 0.04 are now.
"""

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastloss.cpu.design import in_columns
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
    """Columns of a memory map in Fortran order, read by slices that hold few of its pages.

    Parameters
    ----------
    array : memmap
        The matrix.
    pages : mmap
        What it lies in, whose pages are given back.
    numbers : sequence of int
        Which columns.
    """

    beside = TOGETHER * AROUND
    block_bytes = BLOCK_BYTES

    def __init__(self, array: Array, pages: mmap.mmap, numbers: Sequence[int]) -> None:
        self._array, self._pages, self._numbers = np.asarray(array), pages, list(numbers)
        self.shape, self.dtype = (array.shape[0], len(self._numbers)), array.dtype

    def read(self, low: int, high: int, out: Array) -> None:
        """Copy rows from ``low`` to before ``high``."""
        for first in range(0, self.shape[1], TOGETHER):
            for j in range(first, min(first + TOGETHER, self.shape[1])):
                out[:, j] = self._array[low:high, self._numbers[j]]
            give_back(self._pages)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the numbers."""
        return np.asarray, (self._array[:, self._numbers],)


class Chosen:
    """Some columns of an array, which are copied from the rows that are asked for.

    Parameters
    ----------
    array : ndarray
        The array, of two dimensions.
    numbers : sequence of int
        Which columns.
    """

    def __init__(self, array: Array, numbers: Sequence[int]) -> None:
        self._array, self._numbers = array, list(numbers)
        self.shape = (array.shape[0], len(self._numbers))
        self.dtype = array.dtype

    def __getitem__(self, rows: slice) -> Array:
        """Give rows of these columns."""
        found: Array = self._array[rows][:, self._numbers]
        return found


def scattered(X: Any, count: int, memory: int) -> bool:
    """Whether so many columns of a map have rows in more places than a budget has room for."""
    return in_columns(X) and count * AROUND > SHARE * memory
