"""The rows that a linear model comes nearest to, apart from the others."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastloss.cpu import linear
from fastloss.cpu.design import Design
from fastloss.formulas import L1
from fastloss.model import Nearest
from fastloss.typing import Array, Vector


class Rows(Protocol):
    """Some rows of a linear model."""

    @property
    def design(self) -> Design:
        """X as kernels take it."""

    @property
    def X(self) -> Any:  # noqa: N802
        """The matrix, which gives rows by their numbers."""

    @property
    def y(self) -> Vector:
        """What is to be predicted."""

    @property
    def weight(self) -> Vector | None:
        """The weights."""

    def residuals(self, w: Vector) -> Vector:
        """Give ``X @ w - y``."""


# As many times the rows that were asked for are kept where residuals are equal.
EQUAL = 2


class Kept(NamedTuple):
    """The rows of the smallest residuals of those that were seen."""

    sizes: Vector
    X: Array
    y: Vector
    weight: Vector | None
    limit: float
    """A size that too many rows have: none of them is kept."""

    @classmethod
    def of(cls, rows: Rows, w: Vector, count: int) -> "Kept":
        """Take some ``count`` of rows, of those that have weight."""
        sizes, weight = np.abs(rows.residuals(w)), rows.weight
        if weight is not None:
            sizes[weight == 0] = np.inf
        chosen, limit = _smallest(sizes, count, np.inf)
        X = rows.X[chosen]
        X = X.toarray() if hasattr(X, "toarray") else X
        y = np.asarray(rows.y[chosen], np.float64)
        kept = None if weight is None else np.asarray(weight[chosen], np.float64)
        return cls(sizes[chosen], np.asarray(X, np.float64), y, kept, limit)

    def beside(self, other: "Kept", count: int) -> "Kept":
        """Take some ``count`` of these rows and others."""
        sizes = np.concatenate((self.sizes, other.sizes))
        chosen, limit = _smallest(sizes, count, min(self.limit, other.limit))

        def of_both(ours: Array, theirs: Array) -> Array:
            return np.concatenate((ours, theirs))[chosen]

        weight = None
        if self.weight is not None and other.weight is not None:
            weight = of_both(self.weight, other.weight)
        X, y = of_both(self.X, other.X), of_both(self.y, other.y)
        return Kept(sizes[chosen], X, y, weight, limit)


def _smallest(sizes: Vector, count: int, limit: float) -> tuple[Vector, float]:
    """Give the numbers of the smallest sizes below a limit, and the limit that is left."""
    if sizes.size > count:
        bound = np.partition(sizes, count - 1)[count - 1]
        chosen = np.flatnonzero((sizes <= bound) & (sizes < limit))
        if chosen.size <= EQUAL * count:
            return chosen, limit
        limit = min(limit, float(bound))
    return np.flatnonzero(sizes < limit), limit


def find(rows: Iterable[Rows], w: Vector, count: int) -> Kept | None:
    """Give the rows of the smallest residuals, a few more or less where some are equal."""
    found: Kept | None = None
    for some in rows:
        kept = Kept.of(some, w, count)
        found = kept if found is None else found.beside(kept, count)
    return found


def apart(kept: Kept, rows: Iterable[Rows], w: Vector) -> Nearest:
    """Give them with the slope of absolute error over all other rows."""
    bound = float(kept.sizes.max(initial=0.0))
    slope = np.zeros_like(w)
    for some in rows:
        weight = np.ones(some.y.size) if some.weight is None else some.weight.astype(np.float64)
        weight[np.abs(some.residuals(w)) <= bound] = 0.0
        found = linear.evaluate(L1(), some.design, some.y, weight, w, 1.0)
        slope += found.gradients.sum(axis=0)
    return Nearest(kept.X, kept.y, kept.weight, bound, slope)


def changed(rows: Iterable[Rows], bound: float, before: Vector, after: Vector) -> bool:
    """Whether a residual beyond the bound has another sign at other coefficients."""
    for some in rows:
        first, second = some.residuals(before), some.residuals(after)
        there = np.abs(first) > bound
        if some.weight is not None:
            there &= some.weight > 0
        if (there & (second != 0) & (np.sign(first) != np.sign(second))).any():
            return True
    return False
