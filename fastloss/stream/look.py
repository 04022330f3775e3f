"""What a first pass keeps of rows that are too many to be held."""

import numpy as np

from fastloss.cpu.model import spread_out
from fastloss.stream.rows import Block
from fastloss.typing import Array, Vector

# Bytes of the rows that are kept, in float64, and their number at most.
BYTES = 1 << 26
MOST = 1 << 16


class Look:
    """Rows from all over, and the largest target.

    Parameters
    ----------
    n, p : int
        The shape of X.
    weighted : bool
        Whether rows have weights.
    """

    def __init__(self, n: int, p: int, weighted: bool) -> None:
        self._places = spread_out(n, max(1, min(MOST, BYTES // (8 * max(p, 1)))))
        count = self._places.size
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
