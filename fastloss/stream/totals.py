"""Sums over all rows of a linear model, block by block as they are read."""

from math import sqrt
from typing import NamedTuple

import numpy as np

from fastloss.columns import precision
from fastloss.cpu import gram, linear, sums
from fastloss.cpu.design import Design, width_of
from fastloss.formulas import Formula
from fastloss.losses import MSELoss
from fastloss.stream.middle import Middle
from fastloss.stream.rows import Block
from fastloss.typing import Array, Vector


class Piece(NamedTuple):
    """A block as kernels take it."""

    low: int
    design: Design
    y: Vector
    weight: Vector | None
    X: Array

    @classmethod
    def of(cls, block: Block, like: Design) -> "Piece":
        """Take a block of an X that is like ``like``."""
        weight = None if block.weight is None else vector(block.weight)
        return cls(block.low, Design.of(block.X, like), vector(block.y), weight, block.X)

    def residuals(self, w: Vector) -> Vector:
        """Give ``X @ w - y``."""
        return linear.residuals(self.design, self.y, w)


class Evaluation:
    """The sum of the losses and its gradient, or the Hessian times a direction.

    The results of the kernels' blocks are added one after the other, as those of rows in memory
    are: so they have the same bits.
    """

    def __init__(
        self, formula: Formula, w: Vector, scale: float, direction: Vector | None = None
    ) -> None:
        self._formula, self._w, self._scale = formula, w, scale
        self._direction = direction
        self._totals: list[Array] = []
        self.gradient: Vector = np.zeros(w.size)

    def add(self, piece: Piece) -> None:
        """Add some rows."""
        rows = piece.design, piece.y, piece.weight
        curvature = None if self._direction is None else np.empty(piece.y.size)
        found = linear.evaluate(
            self._formula, *rows, self._w, self._scale, self._direction, curvature
        )
        self._totals.append(found.totals)
        _add(self.gradient, found.gradients)

    @property
    def total(self) -> float:
        """The sum of the losses."""
        return sums.total(np.concatenate(self._totals))


class Quadratic:
    """The sum of the losses, its gradient and ``X.T @ D @ X``."""

    def __init__(
        self, formula: Formula, w: Vector, scale: float, offsets: Vector, majorising: bool
    ) -> None:
        self._formula, self._w, self._scale = formula, w, scale
        self._offsets, self._majorising = offsets, majorising
        self._totals: list[Array] = []
        self.gradient: Vector = np.zeros(w.size)
        self._gram: Vector = np.zeros(width_of(w.size - 1) ** 2)
        self._ones: Vector = np.zeros(w.size)

    def add(self, piece: Piece) -> None:
        """Add some rows."""
        rows = piece.design, piece.y, piece.weight
        found = gram.evaluate(
            self._formula, *rows, self._w, self._scale, self._offsets, self._majorising
        )
        self._totals.append(found.totals)
        _add(self.gradient, found.gradients)
        _add(self._gram, found.grams)
        _add(self._ones, found.ones)

    @property
    def total(self) -> float:
        """The sum of the losses."""
        return sums.total(np.concatenate(self._totals))

    @property
    def gram(self) -> Array:
        """``X.T @ D @ X``, with a column of ones beside X."""
        return gram.whole(self._gram, self._ones)


class Deviations:
    """How residuals are spread, without keeping them.

    Parameters
    ----------
    w : ndarray
        The coefficients.
    sample : ndarray
        The residuals of some rows.
    weight : ndarray, optional
        Their weights.
    """

    def __init__(self, w: Vector, sample: Vector, weight: Vector | None) -> None:
        self._w = w
        self._middle = Middle(sample, weight)
        self._squares = 0.0
        self.largest = 0.0

    def add(self, piece: Piece) -> None:
        """Add some rows."""
        residuals = piece.residuals(self._w)
        self._middle.add(residuals, piece.weight)
        self._squares += float(MSELoss(reduction="sum")(residuals, 0.0, piece.weight))
        self.largest = max(self.largest, float(residuals.max()), -float(residuals.min()))

    @property
    def norm(self) -> float:
        """The root of the weighted sum of their squares."""
        return sqrt(self._squares)

    @property
    def scale(self) -> float | None:
        """See :meth:`fastloss.stream.middle.Middle.scale`."""
        return self._middle.scale()


def vector(entries: Vector) -> Vector:
    """Give y or weights as kernels take them."""
    return np.require(entries, precision(entries.dtype), ["C", "A", "W"])


def _add(total: Vector, parts: Array) -> None:
    for part in parts:
        total += part
