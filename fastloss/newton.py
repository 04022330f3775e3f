"""Newton's method for a robust linear model, with a step that cannot fail.

The loss's own curvature converges in a few steps, but it is singular when few rows lie within the
threshold, and far from the minimum its step may lead uphill. Then the curvature ``grad(r) / r`` is
taken, the weights of iteratively reweighted least squares: the quadratic with it lies above a
convex symmetric loss and touches it at ``r``, so its minimum lies lower (Huber, "Robust
Statistics", 1981, section 7.8). Neither depends on the units of X's columns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from fastloss.optimize import LinearObjective
from fastloss.typing import Array, Vector

# What a step must gain of what the slope promises (Armijo); of shorter steps, each half the last.
SUFFICIENT = 1e-4
HALVINGS = 30
# Eigenvalues below this part of the largest, columns scaled to 1, count as zero.
SINGULAR = 1e-12
# A step that leaves more than this part of the gradient (the curvature is singular) is no step.
UNSOLVED = 0.5
# A promised gain below this part of the value is rounding.
ROUNDING = 1e-15


@dataclass
class Steps:
    """How many steps and evaluations a fit has used, and what watches it."""

    limit: int
    callback: Callable[[Vector, float], Any]
    nit: int = 0
    nfev: int = 0
    stopped: bool = False

    @property
    def over(self) -> bool:
        """Whether no more steps are allowed."""
        return self.stopped or self.nit >= self.limit

    def done(self, w: Vector, value: float) -> None:
        """Count a step and show it to the callback, which may stop the fit."""
        self.nit += 1
        try:
            self.callback(w, value)
        except StopIteration:
            self.stopped = True


def solve(matrix: Array, vector: Vector) -> Vector:
    """Solve a symmetric positive system; of several solutions, the shortest in scaled columns."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, lstsq

    if not vector.size:
        return vector
    size = np.sqrt(np.diag(matrix))
    size[size == 0] = 1.0
    scaled = matrix / np.outer(size, size)
    try:
        factor, lower = cho_factor(scaled)
        if np.diag(factor).min() ** 2 > SINGULAR:
            return cast(Vector, cho_solve((factor, lower), vector / size) / size)
    except LinAlgError:
        pass
    return cast(Vector, lstsq(scaled, vector / size, cond=SINGULAR)[0] / size)


def majorising(residual: Array, grad: Array, hess: Array) -> Array:
    """Take ``grad(r) / r``, and its limit at 0."""
    zero = residual == 0
    ratio: Array = np.divide(grad, residual, out=hess.copy(), where=~zero)
    return ratio


def own(residual: Array, grad: Array, hess: Array) -> Array:
    """Take the loss's second derivative."""
    return hess


def minimise(
    objective: LinearObjective, w: Vector, units: Vector, tolerance: float, steps: Steps
) -> tuple[Vector, float, Vector, bool]:
    """Go downhill until no gradient entry exceeds the tolerance, ``units`` dividing them.

    Returns
    -------
    w, value, gradient
        The last point and what the objective is there.
    converged : bool
    """
    value, gradient = objective(w)
    steps.nfev += 1
    while not steps.over and _largest(gradient / units) > tolerance:
        here = _Point(w, value, gradient)
        found = None
        step, left = _step(objective, here, own)
        if _largest(left / units) <= UNSOLVED * _largest(gradient / units):
            found = _lower(objective, here, step, steps)
        if found is None or found.halvings:
            # The curvature has changed on the way: the other one may lead further.
            step, _ = _step(objective, here, majorising)
            other = _lower(objective, here, step, steps)
            if other is not None and (found is None or other.value < found.value):
                found = other
        if found is None:  # nothing lower to be found: at rounding that is the minimum
            gain = -float(gradient @ step)
            return w, value, gradient, gain <= ROUNDING * abs(value)
        w, value, gradient = found.w, found.value, found.gradient
        steps.done(w, value)
    return w, value, gradient, _largest(gradient / units) <= tolerance


class _Point(NamedTuple):
    w: Vector
    value: float
    gradient: Vector
    halvings: int = 0


def _lower(objective: LinearObjective, here: _Point, step: Vector, steps: Steps) -> _Point | None:
    """Find a sufficiently lower point along a step, halving it as often as need be."""
    promised = -float(here.gradient @ step)
    for halvings in range(HALVINGS):
        w = here.w + step
        value, gradient = objective(w)
        steps.nfev += 1
        if value <= here.value - SUFFICIENT * promised and promised > 0:
            return _Point(w, value, gradient, halvings)
        step, promised = step / 2, promised / 2
    return None


def _step(objective: LinearObjective, here: _Point, curvature: Any) -> tuple[Vector, Vector]:
    """Give a step and the part of the gradient that it leaves."""
    gram = objective.gram(here.w, curvature)
    step = -solve(gram, here.gradient)
    return step, here.gradient + gram @ step


def _largest(vector: Vector) -> float:
    return float(np.abs(vector).max(initial=0.0))
