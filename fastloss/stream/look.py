"""What a first pass keeps of rows that are too many to be held."""

from typing import NamedTuple

import numpy as np

from fastloss.cpu.apart import Apart
from fastloss.cpu.model import spread_out
from fastloss.scale import largest
from fastloss.typing import Array, Vector

# Rows that are kept at most.
MOST = 1 << 16


class Glance(NamedTuple):
    """What is kept of some consecutive rows."""

    here: Vector
    """Which of the rows that are kept these are."""
    X: Array
    y: Vector
    weight: Vector | None
    largest: float

    @classmethod
    def of(
        cls, places: Vector, low: int, X: Array | Apart, y: Vector, weight: Vector | None
    ) -> "Glance":
        """Look at the rows from row ``low`` on; ``places`` are the rows to be kept of all."""
        offsets = places - low
        here = np.flatnonzero((offsets >= 0) & (offsets < y.size))
        rows = offsets[here]
        kept = None if weight is None else weight[rows]
        return cls(here, X[rows], y[rows], kept, largest(y, weight))


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
        self.places = spread_out(n, max(1, min(MOST, budget // (8 * max(p, 1)))))
        self._n, count = n, self.places.size
        self.X: Array = np.empty((count, p))
        self.y: Vector = np.empty(count)
        self.weight: Vector | None = np.empty(count) if weighted else None
        self.largest = 0.0

    def add(self, glance: Glance) -> None:
        """Keep what is kept of some rows."""
        self.X[glance.here] = glance.X
        self.y[glance.here] = glance.y
        if self.weight is not None and glance.weight is not None:
            self.weight[glance.here] = glance.weight
        self.largest = max(self.largest, glance.largest)

    def sample(self, count: int) -> tuple[Array, Vector, Vector | None]:
        """Give ``count`` of the rows, those of :meth:`fastloss.model.Model.sample`, or all."""
        kept = self.places.size
        # Where all rows are kept, they are so in their own order.
        rows = spread_out(kept, count) if kept == self._n else slice(count)
        return self.X[rows], self.y[rows], None if self.weight is None else self.weight[rows]

    def residuals(self, w: Vector) -> Vector:
        """Give the residuals of the rows."""
        p = self.X.shape[1]
        residuals: Vector = self.X @ w[:p] + w[p] - self.y
        return residuals
