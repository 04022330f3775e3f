"""What is computed of a chunk of rows, and how the results of several are added up.

A work takes a :class:`fastloss.stream.piece.Piece` and more arguments, and gives a :class:`Result`.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from fastloss.cpu import gram, linear, sums
from fastloss.cpu.evaluate import total_of
from fastloss.cpu.model import gram_of
from fastloss.dask.sums import Pair, add
from fastloss.formulas import Formula
from fastloss.model import Asked, Curvature, first_bad_weight
from fastloss.stream.look import Glance
from fastloss.stream.measure import Measure
from fastloss.stream.piece import Piece
from fastloss.typing import Array, Vector


class Result(NamedTuple):
    """What came out of some consecutive chunks."""

    total: Pair = (0.0, 0.0)
    """A sum and the rounding error that it leaves."""
    arrays: tuple[Array, ...] = ()
    """What is added up element by element."""
    parts: tuple[Any, ...] = ()
    """What is kept side by side, in the chunks' order."""


def added(results: Sequence[Result]) -> Result:
    """Add up by twos, these by twos again, and so on: an order that their number decides."""
    while len(results) > 1:
        results = [_sum(results[i : i + 2]) for i in range(0, len(results), 2)]
    return results[0]


def _sum(results: Sequence[Result]) -> Result:
    if len(results) == 1:
        return results[0]
    left, right = results
    arrays = tuple(a + b for a, b in zip(left.arrays, right.arrays, strict=True))
    return Result(add([left.total, right.total]), arrays, left.parts + right.parts)


def evaluated(
    piece: Piece, formula: Formula, w: Vector, scale: float, direction: Vector | None
) -> Result:
    """Give the sum of the losses and its gradient, or the Hessian times a direction."""
    curvature = None if direction is None else np.empty(piece.y.size)
    found = linear.evaluate(formula, *_rows(piece), w, scale, direction, curvature)
    total = sums.total(found.totals) if direction is None else 0.0
    return Result((total, 0.0), (found.gradients.sum(axis=0),))


def curved(piece: Piece, formula: Formula, asked: Asked) -> Result:
    """Give what :func:`fastloss.cpu.gram.curved` takes."""
    found = gram.evaluate(*_rows(piece), asked._replace(formula=formula))
    return Result((sums.total(found.totals), 0.0), tuple(part.sum(axis=0) for part in found[1:]))


def multiplied(
    piece: Piece,
    formula: Formula,
    w: Vector,
    curvature: Curvature,
    means: Vector | None,
    size: int,
) -> Result:
    """Give X'DX, for many columns or any curvature."""
    rows = piece.X, piece.y, piece.weight
    return Result(arrays=(gram_of(*rows, formula, w, curvature, means, size),))


def looking(piece: Piece, formula: Any, places: Vector, work: Any, *rest: Any) -> Result:
    """Do another work, and look at the rows: the parts are those of both, in one."""
    found: Result = work(piece, formula, *rest)
    glance = Glance.of(places, piece.low, piece.X, piece.y, piece.weight)
    return found._replace(parts=((*found.parts, glance),))


def nothing(piece: Piece, formula: None) -> Result:
    """Do nothing, beside looking."""
    return Result()


def head(piece: Piece, formula: None, count: int) -> Result:
    """Give the first rows of X."""
    return Result(parts=(np.asarray(piece.X[:count], np.float64),))


def measured(piece: Piece, formula: None, w: Vector, measure: Measure) -> Result:
    """Measure the residuals, by a copy of a measure that has taken none."""
    own = deepcopy(measure)
    own.add(piece.residuals(w), piece.weight)
    return Result(parts=(own,))


def within(piece: Piece, formula: None, w: Vector, threshold: float) -> Result:
    """Count the residuals whose absolute value is below the threshold."""
    return Result((float(piece.within(w, threshold)), 0.0))


def bad_rows(piece: Piece, formula: None) -> Result:
    """Name what is not finite with its first such row."""
    return Result(parts=(piece.first_bad_rows(),))


def weights(piece: Piece, formula: None) -> Result:
    """Give the sum of the weights, which stand in y's place, and the first that cannot be one."""
    total = total_of(piece.y, piece.y.dtype), 0.0
    first = first_bad_weight(piece.y)
    bad = () if first is None else ((piece.low + first, float(piece.y[first])),)
    return Result(total, parts=bad)


def _rows(piece: Piece) -> tuple[Any, Vector, Vector | None]:
    return piece.design, piece.y, piece.weight
