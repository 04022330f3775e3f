"""What a first pass keeps of rows that are too many to be held."""

import numpy as np

from fastloss.cpu.model import spread_out
from fastloss.stream.rows import Block
from fastloss.typing import Array, Vector

# Rows that are kept at most.
MOST = 1 << 16


class Look:
    """Rows from all over, and the largest target.

    Parameters
    ----------
    shape : tuple of int
        That of X.
    weighted : bool
        Whether rows have weights.
    budget : int
        Bytes that the rows of X, in float64, may take.
    """

    def __init__(self, shape: tuple[int, int], weighted: bool, budget: int) -> None:
        n, p = shape
        self._places = spread_out(n, max(1, min(MOST, budget // (8 * max(p, 1)))))
        self._n, count = n, self._places.size
        self.X: Array = np.empty((count, p))
        self.y: Vector = np.empty(count)
        self.weight: Vector | None = np.empty(count) if weighted else None
        self.largest = 0.0

    def see(self, block: Block) -> None:
        """Keep what is to be kept of a block."""
        places = self._places - block.low
        here = np.flatnonzero((places >= 0) & (places < block.y.size))
        rows = places[here]
        self.X[here] = block.X[rows]
        self.y[here] = block.y[rows]
        if self.weight is not None and block.weight is not None:
            self.weight[here] = block.weight[rows]
        self.largest = max(self.largest, float(block.y.max()), -float(block.y.min()))

    def sample(self, count: int) -> tuple[Array, Vector, Vector | None]:
        """Give ``count`` of the rows, those of :meth:`fastloss.model.Model.sample`, or all."""
        kept = self._places.size
        # Where all rows are kept, they are so in their own order.
        rows = spread_out(kept, count) if kept == self._n else slice(count)
        return self.X[rows], self.y[rows], None if self.weight is None else self.weight[rows]

    def all(self) -> tuple[Array, Vector, Vector | None]:
        """Give all that are kept."""
        return self.X, self.y, self.weight
