"""The data of a linear model in the host's memory."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastloss.cpu import evaluate as elementwise
from fastloss.cpu import gram, linear, nearby, sums
from fastloss.cpu.apart import Apart
from fastloss.cpu.design import FLOAT64, Design
from fastloss.cpu.formula import bind
from fastloss.cpu.layout import vector
from fastloss.cpu.one_pass import OnePass
from fastloss.formulas import Formula
from fastloss.held import HeldRows
from fastloss.loss import Loss
from fastloss.model import (
    Asked,
    Curvature,
    Curved,
    Model,
    Nearest,
    check_each_weight,
    check_matrix,
    check_total_weight,
    check_vector,
)
from fastloss.place import Place
from fastloss.typing import Array, Vector

# Bytes of rows that are multiplied out at once, so that no copy of X is made.
BLOCK_BYTES = 1 << 23
# Bytes for rows in other coordinates.
TURNED_BYTES = 1 << 27
GOLDEN = (5**0.5 - 1) / 2


class _Key(NamedTuple):
    """What the curvature of rows depends on, beside these."""

    compiled: type
    """Another one for a formula whose code has changed."""
    parameters: tuple[Any, ...]
    w: bytes
    scale: float

    @classmethod
    def of(cls, formula: Formula, w: Vector, scale: float) -> "_Key":
        bound = bind(formula, FLOAT64)
        return cls(type(bound), tuple(bound), w.tobytes(), scale)


class Kept(NamedTuple):
    """The curvature at the last point that a Hessian was multiplied at.

    SciPy's Newton-CG and trust-region methods multiply it by many vectors in turn.
    """

    key: _Key
    curvature: Vector


class HostModel(OnePass, HeldRows):
    """Rows of a linear model, see :class:`fastloss.model.Model`."""

    def __init__(self, place: Place, X: ArrayLike, y: ArrayLike, weight: ArrayLike | None) -> None:
        self.X = self._matrix(place, X)
        check_matrix(self.X.shape)
        self.y = self._vector("y", place.array("y", y))
        self.weight = None
        if weight is not None:
            self.weight = self._vector("weight", place.array("weight", weight))
            with np.errstate(over="ignore"):  # an infinite sum is refused
                total = float(self.weight.sum(dtype=np.float64))
            check_each_weight(self.weight)
            check_total_weight(total)
        self._design = self._describe()
        self._kept: Kept | None = None

    def _matrix(self, place: Place, X: Any) -> Any:
        return place.array("X", X)

    def _describe(self) -> Design:
        return Design.of(self.X)

    def _vector(self, name: str, array: Array) -> Vector:
        check_vector(name, array.shape, self.X.shape[0])
        return vector(array)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made from the rest."""
        return {k: v for k, v in vars(self).items() if k not in ("_design", "_kept")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make it again."""
        vars(self).update(state)
        self._design = self._describe()
        self._kept = None

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        return self._design.shape

    def count(self) -> float:
        """Give the number of rows, or the sum of their weights."""
        if self.weight is None:
            return float(self.shape[0])
        return elementwise.total_of(self.weight, self.weight.dtype)

    def evaluate(
        self, formula: Formula, w: Vector, scale: float, direction: Vector | None = None
    ) -> tuple[float, Vector]:
        """Give the sum of the losses and its gradient, or the Hessian times a direction."""
        rows = self._design, self.y, self.weight
        if direction is None:
            found = linear.evaluate(formula, *rows, w, scale)
        else:
            key = _Key.of(formula, w, scale)
            kept = self._kept
            known = kept is not None and kept.key == key
            curvature = kept.curvature if kept is not None and known else np.empty(self.shape[0])
            found = linear.evaluate(formula, *rows, w, scale, direction, curvature, known)
            self._kept = Kept(key, curvature)
        return sums.total(found.totals), found.gradients.sum(axis=0)

    def _curved(self, asked: Asked) -> Curved:
        found = gram.evaluate(self._design, self.y, self.weight, asked)
        added = (part.sum(axis=0) for part in found[1:])
        return gram.curved(asked, sums.total(found.totals), *added)

    def head(self, count: int) -> Array | None:
        """Give X's first rows."""
        return np.asarray(self.X[:count], np.float64)

    def sample(self, count: int) -> tuple[Array, Vector, Vector | None] | None:
        """Give rows at the multiples of the golden ratio, which meet no period of the data."""
        rows = spread_out(self.shape[0], count)
        weight = None if self.weight is None else self.weight[rows]
        return np.asarray(self.X[rows], np.float64), np.asarray(self.y[rows], np.float64), weight

    def nearest(self, w: Vector, count: int) -> Nearest | None:
        """Give the ``count`` rows of smallest residuals that have weight."""
        kept = nearby.find([self._piece], w, count)
        return None if kept is None else nearby.apart(kept, [self._piece], w)

    def changed(self, bound: float, before: Vector, after: Vector) -> bool:
        """Whether a residual beyond the bound at ``before`` has another sign at ``after``."""
        return nearby.changed([self._piece], bound, before, after)

    @property
    def _piece(self) -> nearby.Rows:
        from fastloss.stream.piece import Piece

        return Piece(0, self._design, self.y, self.weight, self.X)

    def gram(
        self, formula: Formula, w: Vector, curvature: Curvature, means: Vector | None, size: int
    ) -> Array:
        """Give ``X.T @ D @ X``, from blocks of the rows that have curvature."""
        return gram_of(self.X, self.y, self.weight, formula, w, curvature, means, size)

    def turned(self, means: Vector, turn: Array) -> Model | None:
        """Make the rows block by block."""
        from fastloss.stream.model import StreamedModel
        from fastloss.stream.slices import Slices
        from fastloss.stream.turned import Turned

        rows = Turned(Slices(self.X, self.y, self.weight), means, turn)
        return StreamedModel(rows, None, None, None, TURNED_BYTES)

    def residuals(self, w: Vector) -> Vector:
        """Give ``X @ w - y``."""
        return linear.residuals(self._design, self.y, w)

    def first_bad_rows(self) -> dict[str, int]:
        """Name what is not finite with its first such row."""
        return first_bad_rows(self.X, self.y)

    def on_host(self) -> tuple[Array, Vector | None]:
        """Give X and the weights."""
        return self.X, self.weight

    def to_host(self, array: Any) -> Vector:
        """Give the array itself."""
        vector: Vector = array
        return vector


def spread_out(n: int, count: int) -> Vector:
    """Choose ``count`` of n rows, or all; the first of them are those of a smaller count."""
    rows = np.arange(min(n, count))
    return rows if count >= n else (rows * GOLDEN % 1.0 * n).astype(np.intp)


def gram_of(
    X: Array | Apart,
    y: Vector,
    weight: Vector | None,
    formula: Formula,
    w: Vector,
    curvature: Curvature,
    means: Vector | None,
    size: int,
) -> Array:
    """Give ``X.T @ D @ X``, block by block, see :meth:`fastloss.model.Model.gram`."""
    n, p = X.shape
    total = np.zeros((size, size))
    rows = max(1, BLOCK_BYTES // (8 * max(p, 1)))
    for low in range(0, n, rows):
        high = low + rows
        block = np.asarray(X[low:high], np.float64)
        here = None if weight is None else weight[low:high]
        diagonal = diagonal_of(block, y[low:high], here, formula, w, curvature)
        if means is not None:
            block = block - means[:p]
        curved = np.flatnonzero(diagonal)  # rows beyond the threshold have no curvature
        if curved.size < block.shape[0]:
            block, diagonal = block[curved], diagonal[curved]
        if size > p:
            block = np.column_stack((block, np.ones(curved.size)))
        total += block.T @ (diagonal[:, None] * block)
    return total


def diagonal_of(
    X: Any, y: Vector, weight: Vector | None, formula: Formula, w: Vector, curvature: Curvature
) -> Vector:
    """Give the diagonal of D for some rows, weights included."""
    p = X.shape[1]
    predictions = X @ w[:p] + w[p]
    grad, hess = Loss(formula, "none").grad_and_hess(predictions, y)
    found = np.asarray(curvature(predictions - y, grad, hess, np.where), np.float64)
    diagonal: Vector = found if weight is None else found * weight
    return diagonal


def first_bad_rows(X: Array | Apart, y: Vector) -> dict[str, int]:
    """Name what is not finite, ``'X'`` or ``'y'``, with its first such row."""
    rows = np.flatnonzero(~np.isfinite(y))
    bad = {"y": int(rows[0])} if rows.size else {}
    for low in range(0, X.shape[0], 8192):
        rows = np.flatnonzero(~np.isfinite(X[low : low + 8192]).all(axis=1))
        if rows.size:
            bad["X"] = int(low + rows[0])
            break
    return bad
