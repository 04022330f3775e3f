"""X as the kernels of a linear model take it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastloss.arrays import NATIVE, precision
from fastloss.cpu import sparse, sparse_columns
from fastloss.cpu.apart import Apart
from fastloss.cpu.layout import writeable
from fastloss.cpu.vectors import WIDTH
from fastloss.typing import Array

# Bytes of X in a tile: half of a first-level cache, for the second reading. Smaller ones cost more
# starts of loops, in larger ones memory rests more: of the speed of reading alone, 64 columns of
# float32 take 0.91 in 8 KB, 0.97 in 16 KB, 0.91 in 128 KB.
TILE_BYTES = 1 << 14
TILE_ROWS = 1024
# Entries of a sparse X in a tile: an eighth of a 1 MiB second-level cache.
SPARSE_TILE_BYTES = 1 << 17
# In Fortran order, a tile takes so many bytes of each column, a page: runs of memory that are worth
# their start. 32 columns of float32 are read at 0.79 of the speed of reading alone in runs of 1 KB,
# at 0.82 so. But a tile should fit a share of the third-level cache: 5,000 columns of float64 are
# read at 0.69 so, at 0.63 in tiles of 4 MB, 0.51 of 6 MB.
COLUMN_RUN_BYTES = 1 << 12
COLUMN_TILE_BYTES = 3 << 20
# Blocks of rows, which have partial results of their own: enough for many threads, and 5 MB of
# gradients at 5,000 columns.
BLOCKS = 128
# Bytes of all partial results at most, but for two blocks: a sparse X may have millions of columns.
PARTIAL_BYTES = 1 << 25
# Bytes of X in a block at most, so that several are read at a time where X is not in memory; but so
# many times those of its results.
BLOCK_BYTES = 1 << 23
BYTES_A_RESULT = 64
# Of more elements than these (0.1 s on one thread), a call takes some of the blocks, so that Ctrl-C
# is heard between calls; 32 threads share so many blocks evenly.
CALL_ELEMENTS = 1 << 28
CALL_BLOCKS = 32
# Columns up to which X'DX comes in the same pass: a block's products are 557 KB then.
MOST = 256
FLOAT64 = np.dtype(np.float64)


class Design(NamedTuple):
    """X as kernels take it: a matrix of X's rows or of its columns, each a run; or in a tuple."""

    matrix: Any
    columns: bool
    shape: tuple[int, int]
    elements: int
    """What is read."""
    tile: int
    """Rows that are taken at once, a multiple of four."""
    rows: int
    """Rows of a block, a multiple of ``tile``."""
    owner: Any = None
    """What the memory belongs to, where the matrix does not say."""

    @classmethod
    def of(cls, X: Array | Apart, like: "Design | None" = None) -> "Design":
        """Take X as it lies if it is float32 or float64 and its rows or columns are runs.

        Its elements may lie at any byte, as those do that a cluster's worker has received: kernels
        load them by vectors, which processors allow. What is converted keeps its order.

        It may be some blocks of a larger X, ``like`` that one.
        """
        n, p = X.shape
        if isinstance(X, Apart):
            if like is not None and like.columns:
                here = like._replace(matrix=X.for_kernels(), owner=X)
                return here._replace(shape=X.shape, elements=n * p)
            X = np.asarray(X)
        columns = X.flags.f_contiguous and not X.flags.c_contiguous
        if not X.flags.forc:
            columns = not _has_runs(X) and (_has_runs(X.T) or in_columns(X))
        if like is not None:  # a single row lies in either order
            columns = like.columns
        matrix = X.T if columns else X
        if X.flags.forc or not _has_runs(matrix):
            matrix = np.require(matrix, precision(X.dtype), "C")
        matrix = writeable(matrix)
        row = p * matrix.itemsize
        if columns:
            tile = _rows(row, min(COLUMN_TILE_BYTES, COLUMN_RUN_BYTES * p))
        else:
            tile = _rows(row, TILE_BYTES)
        design = cls(matrix, columns, (n, p), matrix.size, tile, 0)
        return design.among(n) if like is None else design._replace(rows=like.rows)

    def among(self, n: int) -> "Design":
        """Give it the blocks that ``n`` rows like these would have."""
        p = self.shape[1]
        results = width_of(p) ** 2 if p <= MOST else p + 1
        return self._replace(rows=block_rows(n, p * self.matrix.itemsize, self.tile, results))

    def calls(self) -> Iterator[tuple[slice, slice, "Design"]]:
        """Give rows, their blocks and themselves that a kernel is called for: all, or some blocks.

        A signal, such as Ctrl-C, is seen between two calls. Columns and sparse rows are taken by
        one: a part of them is of another type, for which kernels would be compiled anew.
        """
        n = self.shape[0]
        step = CALL_BLOCKS * self.rows
        if self.elements <= CALL_ELEMENTS or self.columns or isinstance(self.matrix, tuple):
            yield slice(None), slice(None), self
            return
        for low in range(0, n, step):
            rows = slice(low, min(n, low + step))
            blocks = slice(low // self.rows, -(-rows.stop // self.rows))
            matrix = self.matrix[rows]
            shape = rows.stop - low, self.shape[1]
            part = self._replace(matrix=matrix, shape=shape, elements=matrix.size)
            yield rows, blocks, part

    @classmethod
    def of_sparse(cls, X: Any) -> "Design":
        """Take the rows of a matrix in CSR, see ``sparse.py``, or the columns of one in CSC."""
        n, p = X.shape
        rows = sparse.rows_of(X)
        if X.format == "csc":
            tile = sparse_columns.tile_rows(X.shape, rows[0].size)
            edges = sparse_columns.edges(*rows[1:], tile, max(1, -(-n // tile)))
            mean = -(-rows[0].nbytes // max(n, 1))
            blocks = block_rows(n, mean, tile, p + 1)
            return cls((*rows[:2], edges, tile), True, (n, p), rows[0].size, tile, blocks)
        mean = -(-rows[0].size // max(n, 1)) * (rows[0].itemsize + rows[1].itemsize)
        tile = _rows(mean, SPARSE_TILE_BYTES)
        return cls(rows, False, (n, p), rows[0].size, tile, block_rows(n, mean, tile, p + 1))


def lies_well(X: Array) -> bool:
    """Whether X is read where it lies."""
    return X.dtype in NATIVE and (X.flags.forc or _has_runs(X) or _has_runs(X.T))


def in_columns(array: Array) -> bool:
    """Whether a matrix has its columns' numbers side by side, not its rows'."""
    return bool(array.ndim == 2 and abs(array.strides[0]) < abs(array.strides[1]))


def _has_runs(matrix: Array) -> bool:
    """Whether each row is a run of float32 or float64, as in a slice of a larger matrix."""
    pitch, step = matrix.strides
    return (
        matrix.dtype in NATIVE
        and step == matrix.itemsize
        and pitch >= step * matrix.shape[1]
        and pitch % step == 0
    )


def width_of(p: int) -> int:
    """Give the length of a row of whole vectors that holds ``p`` numbers."""
    return max(1, -(-p // WIDTH)) * WIDTH


def block_rows(n: int, row_bytes: int, tile: int, results: int) -> int:
    """Give the rows of a block, for so many rows in all and numbers that come out of a block."""
    most = max(BLOCK_BYTES, BYTES_A_RESULT * 8 * results)
    blocks = max(2, min(BLOCKS, PARTIAL_BYTES // (8 * results)), n * row_bytes // most)
    return -(-n // (blocks * tile)) * tile


def _rows(row_bytes: int, tile_bytes: int) -> int:
    return max(4, min(TILE_ROWS, tile_bytes // max(row_bytes, 1)) // 4 * 4)
