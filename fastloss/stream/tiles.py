"""A matrix in a temporary file, written some columns at a time and read by rows."""

import errno
import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np

from fastloss.stream.columns import AROUND
from fastloss.stream.copied import Copied
from fastloss.typing import Array

# Of a tile, which is mapped as a whole, unless so few rows are too short a run of a column.
TILE_BYTES = 1 << 22
LEAST_ROWS, MOST_ROWS = 16, 1 << 12
# What stays in the last cache, as of Parquet.
BLOCK_BYTES = 1 << 24


class Tiles(Copied):
    """A matrix whose file has tiles of some rows and all columns, each in Fortran order.

    In C order a few columns would have to be written number by number; in Fortran order a few rows
    would be read so.

    Parameters
    ----------
    shape : tuple of int
        That of the matrix, which has rows and columns.
    dtype : dtype
        Its dtype.

    Raises
    ------
    OSError
        If there is no room for it where temporary files are written.
    """

    block_bytes = BLOCK_BYTES

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        n, p = shape
        self.shape, self.dtype = shape, dtype
        most = min(MOST_ROWS, max(LEAST_ROWS, TILE_BYTES // (p * dtype.itemsize)))
        self.rows = min(n, most)
        self._tiles = -(-n // self.rows), p, self.rows
        self.beside = p * self.rows * dtype.itemsize + AROUND
        if shutil.disk_usage(tempfile.gettempdir()).free < n * p * dtype.itemsize:
            raise _failed(errno.ENOSPC)
        self._file = tempfile.TemporaryFile(prefix="fastloss-")  # noqa: SIM115 - until it is mapped
        weakref.finalize(self, self._file.close)
        self._lock = Lock()
        self._map: Any = None

    def write(self, low: int, first: int, columns: Array) -> None:
        """Write rows of the columns from ``first`` on, one to a row of ``columns``.

        They begin with a tile's first row, ``low``, and end with a tile or with the last row.
        Several threads may do so.
        """
        some = np.zeros((len(columns), self.rows), self.dtype)
        for at in range(0, columns.shape[1], self.rows):
            part = columns[:, at : at + self.rows]
            some[:, : part.shape[1]] = part
            place = (low + at) // self.rows * self._tiles[1] + first
            with self._lock, _writing():
                self._file.seek(place * self.rows * self.dtype.itemsize)
                self._file.write(some.data)

    def written(self) -> None:
        """Say that all of it is written: it can be read from now on."""
        with _writing():
            self._file.flush()
        self._map = np.memmap(self._file, self.dtype, "r", shape=self._tiles)
        self._file.close()  # of which the map has a handle of its own

    def read(self, low: int, high: int, out: Array) -> None:
        """Copy rows from ``low`` to before ``high``."""
        for tile in range(low // self.rows, -(-high // self.rows)):
            start = tile * self.rows
            first, last = max(low, start), min(high, start + self.rows)
            out[first - low : last - low] = self._map[tile, :, first - start : last - start].T
            if hasattr(mmap, "MADV_DONTNEED"):
                self._map._mmap.madvise(mmap.MADV_DONTNEED)

    def column(self) -> Any:
        """Give the only column, as a map."""
        return self._map.reshape(-1)[: self.shape[0]]


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _failed(error.errno) from error


def _failed(code: int | None) -> OSError:
    """Say that it is about a temporary file, and where; ``code`` is the system's."""
    number = code or errno.EIO
    words = f"{os.strerror(number)}, for a temporary file (TMPDIR names another folder)"
    return OSError(number, words, tempfile.gettempdir())
