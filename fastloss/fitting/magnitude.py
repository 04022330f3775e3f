"""Whether numbers are of a size that float64 can fit a model to."""

from math import sqrt
from typing import Any

import numpy as np

from fastloss.fitting.point import Point
from fastloss.formulas import L1
from fastloss.optimize import LinearObjective
from fastloss.typing import Array, Vector

# Below it, squares have fewer digits than other numbers.
SMALLEST = np.finfo(float).tiny / np.finfo(float).eps


def check_finite(objective: LinearObjective, *found: Any) -> None:
    """Raise ValueError unless what was found at 0 is finite, naming the first bad row."""
    if all(np.isfinite(part).all() for part in found):
        return
    bad = objective.model.first_bad_rows()
    if not bad:
        raise ValueError("X or y is too large: the squares of its values overflow; rescale it")
    name = min(bad, key=lambda k: bad[k])
    where = objective.model.where(bad[name])
    row = f"{bad[name]}, {where}," if where else f"{bad[name]}"
    raise ValueError(f"{name} must be finite, but its row {row} is not")


def check_normal(objective: LinearObjective, at_zero: Point, means: Vector) -> None:
    """Raise ValueError where squares of X or y are too near 0 for float64 to hold their digits."""
    if at_zero.value < SMALLEST and objective.model.largest_target() > 0:
        what = "y" if objective.weight is None else "y, or weight,"
        raise ValueError(f"{what} is too small: the squares of its values underflow; rescale it")
    assert at_zero.gram is not None
    sizes = np.diag(at_zero.gram)
    small = bool(((sizes > 0) & (sizes < SMALLEST)).any())
    nothing = (sizes == 0) & (np.abs(means) < sqrt(SMALLEST))
    if not small and nothing.any():
        # A column of zeros, in the rows that have weight, gives the same whatever multiplies it.
        w = np.zeros(objective.shape[1] + 1)
        w[: nothing.size] = np.where(nothing, np.finfo(float).max, 0.0)
        errors = (objective.model.evaluate(L1(), at, 1.0, None)[0] for at in (w, np.zeros_like(w)))
        small = next(errors) != next(errors)
    if small:
        raise ValueError("X is too small: the squares of its values underflow; rescale it")


def check_curvature(gram: Array, squares: Array | None = None) -> None:
    """Raise ValueError where X'DX overflows, or underflows though ``squares``, X'X, does not.

    The latter is for curvatures D that are nowhere 0.
    """
    if not np.isfinite(gram).all():
        raise ValueError(
            "X is too large for the loss: the curvature times the squares of its values overflows; "
            "rescale it, or raise the threshold"
        )
    if squares is not None and (np.diag(gram)[np.diag(squares) >= SMALLEST] < SMALLEST).any():
        raise ValueError(
            "X is too small for the loss: the curvature times the squares of its values "
            "underflows; rescale it, or y"
        )
