"""What is known of an objective at some coefficients."""

from typing import NamedTuple

import numpy as np

from fastloss.curvature import own
from fastloss.optimize import LinearObjective
from fastloss.typing import Array, Vector


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
        return at(objective, w, means), objective.grad(zero)
    with np.errstate(over="ignore", invalid="ignore"):
        value, gradient, gram, at_zero = objective.quadratic_and_gradient(w, own, means, zero)
    return Point(w, value, gradient, gram), at_zero


def at(objective: LinearObjective, w: Vector, means: Vector, halvings: int = 0) -> Point:
    """Evaluate, with the curvature where that comes in the same pass over X."""
    if not objective.one_pass:
        return Point(w, *objective(w), None, halvings)
    with np.errstate(over="ignore", invalid="ignore"):
        return Point(w, *objective.quadratic(w, own, means), halvings)
