"""Rows in other coordinates, in which columns that nearly depend on each other do not."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

import numpy as np

from fastloss.stream.rows import Block, Rows
from fastloss.stream.slices import COPY_BYTES
from fastloss.typing import Array, Vector


class Turned:
    """Rows ``(X - means) @ turn``, made block by block, in float64.

    Parameters
    ----------
    rows : Rows
        Those of X.
    means : ndarray of float64, shape (p,)
    turn : ndarray of float64, shape (p, directions)
    """

    def __init__(self, rows: Rows, means: Vector, turn: Array) -> None:
        self._rows, self._means, self._turn = rows, means, turn

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        return self._rows.shape[0], self._turn.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """It is float64."""
        return np.dtype(np.float64)

    @property
    def block_bytes(self) -> int:
        """What stays in a cache."""
        return COPY_BYTES

    def least_memory(self) -> int:
        """Give what the rows themselves need."""
        return self._rows.least_memory()

    def spilled(self, memory: int) -> None:
        """Do nothing: the rows themselves are where they take least."""

    def rows_within(self, budget: int) -> int:
        """Give the most rows to a block, of which there are three more than before."""
        return max(1, self._rows.rows_within(budget) // 4)

    def block(self, low: int, high: int) -> Block:
        """Give the rows from ``low`` to before ``high``."""
        return self._turned(self._rows.block(low, high))

    def blocks(self, rows: int, low: int = 0) -> Generator[Block, None, None]:
        """Give blocks, see :meth:`fastloss.stream.rows.Rows.blocks`."""
        with closing(self._rows.blocks(rows, low)) as blocks:
            for block in blocks:
                yield self._turned(block)

    def where(self, row: int, first: int = 0) -> str:
        """Say where a row of X lies."""
        return self._rows.where(row, first)

    def _turned(self, block: Block) -> Block:
        return block._replace(X=(np.asarray(block.X) - self._means) @ self._turn)
