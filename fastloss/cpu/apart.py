"""A matrix whose columns lie apart from each other, as a file's do once they are decoded."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastloss.cpu.layout import writeable
from fastloss.typing import Array, Vector


class Apart:
    """Columns where they are, as kernels take them, and some rows for whoever asks for them.

    Parameters
    ----------
    columns : sequence of ndarray
        At least one, each contiguous, of the same length and dtype: float32 or float64.
    """

    def __init__(self, columns: Sequence[Vector]) -> None:
        self._columns = columns
        self.shape = columns[0].size, len(columns)
        self.dtype = columns[0].dtype

    def for_kernels(self) -> tuple[Vector, Vector]:
        """Give each column's address, and the first for the type of all.

        They are good for as long as this object is there.
        """
        places = np.array([column.ctypes.data for column in self._columns], np.int64)
        return places, writeable(self._columns[0])

    def __getitem__(self, rows: Any) -> Array:
        """Copy some rows, a slice or their numbers, or one."""
        return np.array([column[rows] for column in self._columns]).T

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Copy all rows."""
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)
