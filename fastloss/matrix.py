"""The data of a linear model as arrays of a library that multiplies matrices: CuPy or PyTorch.

X is read twice for an evaluation, by the library's own products around fastloss's elementwise
kernels; ``cuda/model.py`` has what reads it once. What has an entry for each row never leaves the
device.
"""

from typing import Any

import numpy as np

from fastloss.algebra import algebra_of
from fastloss.formulas import Formula
from fastloss.held import HeldRows
from fastloss.loss import Loss
from fastloss.model import (
    Asked,
    Curvature,
    check_each_weight,
    check_matrix,
    check_total_weight,
    check_vector,
)
from fastloss.place import Place
from fastloss.typing import Array, Vector

# Bytes of float64 rows that are made at once of an X in another precision, or for its Hessian: they
# fit a GPU's second-level cache (50 MB on an H100).
BLOCK_BYTES = 1 << 25


class ArrayModel(HeldRows):
    """Rows of a linear model, see :class:`fastloss.model.Model`.

    Arithmetic is in float64: rows of X in another precision are widened block by block.
    """

    def __init__(self, place: Place, X: Any, y: Any, weight: Any) -> None:
        described = place.array("X", X)
        check_matrix(described.shape)
        self.shape = (described.shape[0], described.shape[1])
        vectors = {"y": y} if weight is None else {"y": y, "weight": weight}
        for name, value in vectors.items():
            check_vector(name, place.array(name, value).shape, self.shape[0])
        self._algebra = algebra_of(X, place)
        self.X = self._algebra.take(X)
        self.y = self._algebra.wide(self._algebra.take(y))
        self.weight = None
        if weight is not None:
            self.weight = self._algebra.wide(self._algebra.take(weight))
            if not float(self.weight.min()) >= 0:
                check_each_weight(self._algebra.host(self.weight))
            check_total_weight(self.count())
        p = self.shape[1]
        self._rows = max(1, BLOCK_BYTES // (8 * max(p, 1)))

    def count(self) -> float:
        """Give the number of rows, or the sum of their weights."""
        return float(self.shape[0] if self.weight is None else self.weight.sum())

    def evaluate(
        self, formula: Formula, w: Vector, scale: float, direction: Vector | None = None
    ) -> tuple[float, Vector]:
        """Give the sum of the losses and its gradient, or the Hessian times a direction."""
        loss = Loss(formula, "sum")
        predictions = self._predict(w)
        if direction is None:
            value, slope = loss.value_and_grad(predictions, self.y, self.weight)
        else:
            _, hess = loss.grad_and_hess(predictions, self.y, self.weight)
            value, slope = 0.0, hess * self._predict(direction)
        gradient = np.append(self._algebra.host(self._gather(slope)), float(slope.sum()))
        return float(value), scale * gradient

    @property
    def one_pass(self) -> bool:
        """It is not."""
        return False

    def curved(self, asked: Asked) -> None:
        """Leave it to two passes."""

    def head(self, count: int) -> None:
        """Leave X where it is."""

    def sample(self, count: int) -> None:
        """Leave X where it is."""

    def nearest(self, w: Vector, count: int) -> None:
        """Leave X where it is."""

    def changed(self, bound: float, before: Vector, after: Vector) -> bool:
        """Say that it may be so."""
        return True

    def gram(
        self, formula: Formula, w: Vector, curvature: Curvature, means: Vector | None, size: int
    ) -> Array:
        """Give ``X.T @ D @ X``, block by block."""
        n, p = self.shape
        predictions = self._predict(w)
        grad, hess = Loss(formula, "none").grad_and_hess(predictions, self.y)
        diagonal = curvature(predictions - self.y, grad, hess, self._algebra.where)
        if self.weight is not None:
            diagonal = diagonal * self.weight
        total = np.zeros((size, size))
        shift = None if means is None else self._algebra.take(means[:p])
        for low in range(0, n, self._rows):
            block = self._algebra.wide(self.X[low : low + self._rows])
            if shift is not None:
                block = block - shift
            part = diagonal[low : low + self._rows]
            weighted = part[:, None] * block
            total[:p, :p] += self._algebra.host(block.T @ weighted)
            if size > p:
                total[p, :p] += self._algebra.host(weighted.sum(0))
                total[p, p] += float(part.sum())
        total[:p, p:] = total[p:, :p].T
        return total

    def turned(self, means: Vector, turn: Array) -> None:
        """Leave X where it is."""

    def residuals(self, w: Vector) -> Any:
        """Give ``X @ w - y``."""
        return self._predict(w) - self.y

    def first_bad_rows(self) -> dict[str, int]:
        """Name what is not finite with its first such row."""
        bad = {}
        for name, array in (("y", self.y), ("X", self.X)):
            for low in range(0, self.shape[0], self._rows):
                finite = self._algebra.finite(array[low : low + self._rows])
                rows = np.flatnonzero(~(finite if finite.ndim == 1 else finite.all(axis=1)))
                if rows.size:
                    bad[name] = int(low + rows[0])
                    break
        return bad

    def on_host(self) -> tuple[Array, Vector | None]:
        """Copy X and the weights to the host."""
        weight = None if self.weight is None else self._algebra.host(self.weight)
        return self._algebra.host(self.X), weight

    def to_host(self, array: Any) -> Vector:
        """Copy an array to the host."""
        vector: Vector = self._algebra.host(array)
        return vector

    def _predict(self, w: Vector) -> Any:
        n, p = self.shape
        coefficients = self._algebra.take(w[:p])
        if self._algebra.is_wide(self.X):
            return self.X @ coefficients + float(w[p])
        predictions = self._algebra.zeros(n)
        for low in range(0, n, self._rows):
            block = self._algebra.wide(self.X[low : low + self._rows])
            predictions[low : low + self._rows] = block @ coefficients + float(w[p])
        return predictions

    def _gather(self, slope: Any) -> Any:
        """Give ``X.T @ slope``."""
        if self._algebra.is_wide(self.X):
            return self.X.T @ slope
        total = self._algebra.zeros(self.shape[1])
        for low in range(0, self.shape[0], self._rows):
            block = self._algebra.wide(self.X[low : low + self._rows])
            total += block.T @ slope[low : low + self._rows]
        return total
