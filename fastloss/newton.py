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
# The slope of a column is known to about 1e-16 of its offset: one that varies by less than this
# part of its offset is judged as if it varied by that much.
OFFSET = 1e-6
# A column that varies by less than this part of its mean is constant.
CONSTANT = 1e-12
# A promised gain below this part of the value is rounding.
ROUNDING = 1e-15
# A step that gains less than this part of the value, and does not even halve the gradient, has
# reached what rounding leaves of a model whose terms nearly cancel.
STUCK = 1e-13


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


class Frame(NamedTuple):
    """Coordinates in which columns have no offset and, divided by their units, equal weight.

    A column of dates 1e9 seconds from 0 is nearly a multiple of the intercept's: without their
    common part taken out, X'DX has lost the difference to rounding.
    """

    means: Vector
    units: Vector

    @classmethod
    def of(cls, squares: LinearObjective) -> "Frame":
        """Measure the columns of an objective of squared errors."""
        means = np.zeros(squares.size)
        p = squares.shape[1]
        if squares.fit_intercept:
            # A Hessian's last column holds the columns' weighted sums: one pass, no copy of X.
            last = np.zeros(squares.size)
            last[p] = 1.0
            sums = squares.hessp(np.zeros(squares.size), last)
            means[:p] = sums[:p] / sums[p]
        gram = squares.gram(np.zeros(squares.size), own, means[:p])
        units = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
        return cls(means, np.maximum(units, OFFSET * np.abs(means)))

    def slope(self, gradient: Vector) -> Vector:
        """Give the gradient with respect to these coordinates."""
        return gradient - self.means * gradient[-1:] if self.means.any() else gradient

    def step(self, step: Vector) -> Vector:
        """Give a step in these coordinates as one of the coefficients."""
        back = step.copy()
        back[-1:] -= self.means @ step
        return back

    def solve(self, gram: Array, slope: Vector) -> Vector:
        """Solve for a step in these coordinates, with nothing along columns that are constant."""
        rounding = (CONSTANT * self.means) ** 2 * gram[-1:, -1:].sum()
        constant = (self.means != 0) & (np.diag(gram) <= rounding)
        if constant.any():  # what is left of them is the rounding of their mean
            gram, slope = gram.copy(), np.where(constant, 0.0, slope)
            gram[constant] = 0.0
            gram[:, constant] = 0.0
        return solve(gram, slope)

    def noise(self, w: Vector) -> float:
        """Give the rounding error of a prediction: its terms may be far larger than it is."""
        return float(np.finfo(float).eps * (np.abs(self.means) @ np.abs(w) + np.abs(w[-1:]).sum()))

    def largest(self, gradient: Vector) -> float:
        """Give the largest entry of the gradient, whatever the columns' units."""
        return _largest(self.slope(gradient) / self.units)


def solve(matrix: Array, vector: Vector) -> Vector:
    """Solve a symmetric positive system; of several solutions, the shortest in scaled columns."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, lstsq

    if not vector.size:
        return vector
    size = np.sqrt(np.abs(np.diag(matrix)))
    size[size == 0] = 1.0
    scaled = matrix / np.outer(size, size)
    try:
        factor, lower = cho_factor(scaled)
        if np.diag(factor).min() ** 2 > SINGULAR:
            return cast(Vector, cho_solve((factor, lower), vector / size) / size)
    except LinAlgError:
        pass
    return cast(Vector, lstsq(scaled, vector / size, cond=SINGULAR)[0] / size)


def majorising(residual: Any, grad: Any, hess: Any, where: Any) -> Any:
    """Take ``grad(r) / r``, and its limit at 0."""
    zero = residual == 0
    return where(zero, hess, grad / where(zero, 1.0, residual))


def own(residual: Any, grad: Any, hess: Any, where: Any) -> Any:
    """Take the loss's second derivative."""
    return hess


def minimise(
    objective: LinearObjective, w: Vector, frame: Frame, tolerance: float, steps: Steps
) -> tuple[Vector, bool]:
    """Go downhill until no entry of the gradient, in the frame, exceeds the tolerance.

    Returns
    -------
    w : ndarray
        The last point.
    converged : bool
    """
    value, gradient = objective(w)
    steps.nfev += 1
    while not steps.over and frame.largest(gradient) > tolerance:
        here = _Point(w, value, gradient)
        found = None
        step, left = _step(objective, here, frame, own)
        if left <= UNSOLVED:
            found = _lower(objective, here, step, steps)
        if found is None or found.halvings:
            # The curvature has changed on the way: the other one may lead further.
            step, _ = _step(objective, here, frame, majorising)
            other = _lower(objective, here, step, steps)
            if other is not None and (found is None or other.value < found.value):
                found = other
        if found is None:  # nothing lower to be found: at rounding that is the minimum
            return w, 0 <= -float(gradient @ step) <= ROUNDING * abs(value)
        stuck = frame.largest(found.gradient) > frame.largest(gradient) / 2
        if stuck and value - found.value <= STUCK * abs(value):
            return found.w, True
        w, value, gradient = found.w, found.value, found.gradient
        steps.done(w, value)
    return w, frame.largest(gradient) <= tolerance


class _Point(NamedTuple):
    w: Vector
    value: float
    gradient: Vector
    halvings: int = 0


def _lower(objective: LinearObjective, here: _Point, step: Vector, steps: Steps) -> _Point | None:
    """Find a sufficiently lower point along a step, halving it as often as need be."""
    promised = -float(here.gradient @ step)
    if not promised > 0:
        return None
    for halvings in range(HALVINGS):
        w = here.w + step
        value, gradient = objective(w)
        steps.nfev += 1
        if value <= here.value - SUFFICIENT * promised:
            return _Point(w, value, gradient, halvings)
        step, promised = step / 2, promised / 2
    return None


def _step(
    objective: LinearObjective, here: _Point, frame: Frame, curvature: Any
) -> tuple[Vector, float]:
    """Give a step, and the part of the gradient's largest entry that it leaves."""
    slope = frame.slope(here.gradient)
    with np.errstate(over="ignore", invalid="ignore"):
        gram = objective.gram(here.w, curvature, frame.means)
    if not np.isfinite(gram).all():
        raise ValueError(
            "X is too large for the loss: the curvature times the squares of its values overflows; "
            "rescale it, or raise the threshold"
        )
    step = -frame.solve(gram, slope)
    left = _largest((slope + gram @ step) / frame.units) / _largest(slope / frame.units)
    return frame.step(step), left


def _largest(vector: Vector) -> float:
    return float(np.abs(vector).max(initial=0.0))
