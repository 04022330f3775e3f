"""Rows of arrays that are read by slices: zarr, h5py, memory maps, NumPy."""

import sys
from collections.abc import Generator
from typing import Any

import numpy as np

from fastloss.cpu.design import lies_well
from fastloss.model import check_matrix, check_vector
from fastloss.stream import rows as shared
from fastloss.stream.ahead import ahead
from fastloss.stream.copied import Copied
from fastloss.stream.pace import paced
from fastloss.stream.rows import Block
from fastloss.stream.stored import Reader, Stored

# Bytes of a block: that is read into buffers; of an array in memory, which kernels read where it
# lies (1.6 GB of a memory map take 94 ms so, 105 in blocks of 64 MB), or of one whose rows lie all
# over a file; of one that has to be copied, and stays in a cache so.
READ_BYTES = 1 << 26
VIEW_BYTES = 1 << 28
COPY_BYTES = 1 << 23


class Slices:
    """Rows of X, y and weights, each any object with a shape, a dtype and slices of rows.

    Where X has chunks, as in zarr and HDF5, each is read once in a pass, whatever the rows of a
    block; one is then held in memory beside the blocks.

    Parameters
    ----------
    X : array-like
        The design matrix, of shape (n, p).
    y : array-like
        The targets, of shape (n,).
    weight : array-like, optional
        One for each row.
    memory : int
        Bytes that may be held.

    Raises
    ------
    TypeError
        If one does not hold real numbers.
    ValueError
        If the shapes do not fit.
    """

    def __init__(self, X: Any, y: Any, weight: Any = None, memory: int = sys.maxsize) -> None:
        self._X = Stored("X", X, memory)
        check_matrix(self._X.shape)
        self._vectors = [Stored("y", y, memory)]
        if weight is not None:
            self._vectors.append(Stored("weight", weight, memory))
        for vector in self._vectors:
            check_vector(vector.name, vector.shape, self._X.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        n, p = self._X.shape
        return n, p

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the blocks of X."""
        return self._X.dtype

    @property
    def block_bytes(self) -> int:
        """Much where nothing is copied or rows lie apart, little where memory is converted."""
        array = self._X.array
        if isinstance(array, Copied):
            return array.block_bytes
        if isinstance(array, np.ndarray) and not lies_well(array):
            return COPY_BYTES
        return VIEW_BYTES if self._in_memory() else READ_BYTES

    def least_memory(self) -> int:
        """Give the bytes of the chunks that are held beside the blocks."""
        return sum(stored.beside() for stored in self._all())

    def spilled(self, memory: int) -> None:
        """Do nothing: chunks can be written anew by whoever has written them."""

    def rows_within(self, budget: int) -> int:
        """Give the most rows to a block with which a pass holds about ``budget`` bytes."""
        # None is read ahead of what lies in memory.
        alive = 1 if self._in_memory() else shared.ALIVE
        return shared.rows_within(budget, self.row_bytes(), self.least_memory(), alive)

    def row_bytes(self) -> int:
        """Give the bytes of a row of a block."""
        return sum(stored.bytes_of(1) for stored in self._all())

    def block(self, low: int, high: int) -> Block:
        """Read the rows from ``low`` to before ``high``."""
        shared.check_range(self.shape[0], low, high)
        return next(self._read(high - low, low))

    def blocks(self, rows: int, low: int = 0) -> Generator[Block, None, None]:
        """Give blocks of ``rows`` rows in order, see :meth:`fastloss.stream.rows.Rows.blocks`.

        Arrays in memory are not copied.
        """
        shared.check_blocks(self.shape[0], rows, low)
        blocks = self._read(rows, low)
        return blocks if self._in_memory() else paced(ahead(blocks, shared.ALIVE - 1))

    def where(self, row: int, first: int = 0) -> str:
        """Say nothing: there is one array."""
        return ""

    def _read(self, rows: int, low: int) -> Generator[Block, None, None]:
        n = self.shape[0]
        readers = [Reader(stored, min(rows, n)) for stored in self._all()]
        for at in range(low, n, rows):
            X, y, *weight = (reader.take(at, min(at + rows, n)) for reader in readers)
            yield Block(at, X, y, weight[0] if weight else None)

    def _in_memory(self) -> bool:
        return all(stored.in_memory for stored in self._all())

    def _all(self) -> list[Stored]:
        return [self._X, *self._vectors]
