"""What is known of an objective at some coefficients."""

from typing import NamedTuple

import numpy as np

from fastloss.curvature import own
from fastloss.formulas import Huber, SmoothL1
from fastloss.optimize import LinearObjective
from fastloss.typing import Array, Vector

# Losses whose curvature is one of two numbers: from one point to the next it changes for few rows,
# and only these are multiplied out: 500,000 x 40 float64 take 4.9 ms so, 9.3 anew.
STEPWISE = SmoothL1, Huber
# Less than this part left of a column's curvature would lose digits.
KEPT = 0.5


class Point(NamedTuple):
    """An objective at some coefficients."""

    w: Vector
    value: float
    gradient: Vector
    gram: Array | None = None
    """With the loss's own curvature, in a frame; None where that takes another pass."""
    halvings: int = 0


def first(objective: LinearObjective, w: Vector, means: Vector) -> tuple[Point, Vector]:
    """Give a point and the gradient at 0, in one pass over X where that is to be had."""
    zero = np.zeros_like(w)
    if not objective.one_pass:
        return Point(w, *objective(w)), objective.grad(zero)
    with np.errstate(over="ignore", invalid="ignore"):
        value, gradient, gram, at_zero = objective.quadratic_and_gradient(w, own, means, zero)
    return Point(w, value, gradient, gram), at_zero


def at(
    objective: LinearObjective, w: Vector, here: Point, means: Vector, halvings: int = 0
) -> Point:
    """Evaluate, with the curvature where that comes in the same pass over X."""
    if not objective.one_pass:
        return Point(w, *objective(w), None, halvings)
    with np.errstate(over="ignore", invalid="ignore"):
        if here.gram is not None and type(objective.loss.formula) in STEPWISE:
            known = here.w, here.gram
            value, gradient, gram = objective.quadratic(w, own, means, known)
            if (np.diag(gram) >= KEPT * np.diag(here.gram)).all():
                return Point(w, value, gradient, gram, halvings)
        return Point(w, *objective.quadratic(w, own, means), halvings)
