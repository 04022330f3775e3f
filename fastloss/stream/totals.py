"""Sums over all rows of a linear model, block by block as they are read."""

import numpy as np

from fastloss.cpu import gram, linear, sums
from fastloss.cpu.design import width_of
from fastloss.formulas import Formula
from fastloss.model import Asked, Curved
from fastloss.stream.piece import Piece
from fastloss.typing import Array, Vector


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

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._totals: list[Array] = []
        size = asked.w.size
        self._sums = [np.zeros(n) for n in (size, size, width_of(size - 1) ** 2, size)]

    def add(self, piece: Piece) -> None:
        """Add some rows."""
        found = gram.evaluate(piece.design, piece.y, piece.weight, self._asked)
        self._totals.append(found.totals)
        for total, parts in zip(self._sums, found[1:], strict=True):
            _add(total, parts)

    def curved(self) -> Curved:
        """Give what was asked for."""
        return gram.curved(self._asked, sums.total(np.concatenate(self._totals)), *self._sums)


def _add(total: Vector, parts: Array) -> None:
    for part in parts:
        total += part
