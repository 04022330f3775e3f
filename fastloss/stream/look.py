"""What a first pass keeps of rows that are too many to be held."""

from typing import NamedTuple

import numpy as np

from fastloss.cpu.model import spread_out
from fastloss.typing import Array, Vector

# Bytes of the rows that are kept, in float64, and their number at most.
BYTES = 1 << 26
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
    def of(cls, places: Vector, low: int, X: Array, y: Vector, weight: Vector | None) -> "Glance":
        """Look at the rows from row ``low`` on; ``places`` are the rows to be kept of all."""
        offsets = places - low
        here = np.flatnonzero((offsets >= 0) & (offsets < y.size))
        rows = offsets[here]
        kept = None if weight is None else weight[rows]
        return cls(here, X[rows], y[rows], kept, max(0.0, float(y.max()), -float(y.min())))


def places(n: int, p: int) -> Vector:
    """Choose the rows to be kept of ``n`` rows of ``p`` columns."""
    return spread_out(n, max(1, min(MOST, BYTES // (8 * max(p, 1)))))


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
        self.places = places(n, p)
        count = self.places.size
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
        """Give at most ``count`` of the rows, of X, y and the weights."""
        weight = None if self.weight is None else self.weight[:count]
        return self.X[:count], self.y[:count], weight

    def residuals(self, w: Vector) -> Vector:
        """Give the residuals of the rows."""
        p = self.X.shape[1]
        residuals: Vector = self.X @ w[:p] + w[p] - self.y
        return residuals
