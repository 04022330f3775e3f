"""X as the kernels of a linear model take it."""

from typing import Any, NamedTuple

import numpy as np

from fastloss.arrays import NATIVE
from fastloss.cpu import sparse
from fastloss.cpu.layout import writeable
from fastloss.typing import Array

# Bytes of X in a tile: an eighth of a 1 MiB second-level cache. While a tile is read again, the
# next one is brought there: 200,000 x 500 float32 take 15 ms so, 22 without.
TILE_BYTES = 1 << 17
TILE_ROWS = 1024
# Rows of at most so many bytes are taken by a few: the second reading is over before the memory's
# own look-ahead has stopped. 1,000,000 x 32 float64 take 8.6 ms so, 9.5 in larger tiles.
SHORT_ROW = 256
SHORT_TILE_BYTES = 1 << 12
# In Fortran order, a tile takes so many rows of each column, for runs of memory that are worth
# their start, as long as it fits the third-level cache: 20,000 x 5,000 float64 take 50 ms so, 276
# in tiles of TILE_BYTES.
COLUMN_ROWS = 256
COLUMN_TILE_BYTES = 1 << 22
FLOAT64 = np.dtype(np.float64)


class Design(NamedTuple):
    """X as kernels take it: a matrix of X's rows or of its columns, each a run; or sparse rows."""

    matrix: Any
    columns: bool
    shape: tuple[int, int]
    elements: int
    """What is read."""
    tile: int
    """Rows that are taken at once, a multiple of four."""

    @classmethod
    def of(cls, X: Array) -> "Design":
        """Take X as it lies if it is float32 or float64 and its rows or columns are runs."""
        n, p = X.shape
        columns = X.flags.f_contiguous and not X.flags.c_contiguous
        if not X.flags.forc:
            columns = not _has_runs(X) and _has_runs(X.T)
        matrix = X.T if columns else X
        if X.flags.forc or not _has_runs(matrix):
            dtype = X.dtype if X.dtype in (np.float32, np.float64) else FLOAT64
            matrix = np.require(matrix, dtype.newbyteorder("="), ["C", "A"])
        matrix = writeable(matrix)
        row = p * matrix.itemsize
        if columns:
            rows = max(_rows(row, TILE_BYTES), min(COLUMN_ROWS, _rows(row, COLUMN_TILE_BYTES)))
        else:
            rows = _rows(row, SHORT_TILE_BYTES if row <= SHORT_ROW else TILE_BYTES)
        return cls(matrix, columns, (n, p), matrix.size, rows)

    @classmethod
    def of_sparse(cls, X: Any) -> "Design":
        """Take the rows of a matrix in CSR, see ``sparse.py``."""
        n, p = X.shape
        rows = sparse.rows_of(X)
        mean = -(-rows[0].size // max(n, 1)) * (rows[0].itemsize + rows[1].itemsize)
        return cls(rows, False, (n, p), rows[0].size, _rows(mean, TILE_BYTES))


def _has_runs(matrix: Array) -> bool:
    """Whether each row is a run of aligned float32 or float64, as in a slice of a larger matrix."""
    pitch, step = matrix.strides
    return (
        matrix.dtype in NATIVE
        and matrix.flags.aligned
        and step == matrix.itemsize
        and pitch >= step * matrix.shape[1]
        and pitch % step == 0
    )


def _rows(row_bytes: int, tile_bytes: int) -> int:
    return max(4, min(TILE_ROWS, tile_bytes // max(row_bytes, 1)) // 4 * 4)
