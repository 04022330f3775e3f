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

from fastloss.curvature import majorising, own
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
# Rows whose medians are near enough to the columns' means to be taken off before they are squared,
# unless what is left of these is so many times the columns' deviation: then 12 of 16 digits are.
HEAD = 1024
FAR = 100.0
# A column that varies by less than this part of its mean is constant: that much is rounding.
CONSTANT = 1e-14
# A step that promises to gain less than this part of the value is likely to be the last one: its
# end is looked at without the curvature.
LAST = 1e-8
# A promised gain below this part of the value is rounding.
ROUNDING = 1e-15
# A step that gains less than this part of the value, and does not even halve the gradient, has
# reached what rounding leaves of a model whose terms nearly cancel.
STUCK = 1e-13
# After so many steps in which the loss's own curvature did not do, the other one's are doubled for
# as long as that leads lower: 20,000 rows of which 60 percent are 1,000 times as far away take 98
# steps so, more than 200 without. From the first one on, fits of fewer outliers take a fifth more
# passes.
PATIENCE = 8


@dataclass
class Steps:
    """How many steps and evaluations a fit has used, and what watches it."""

    limit: int
    callback: Callable[[Vector, float], Any]
    nit: int = 0
    nfev: int = 0
    stopped: bool = False
    reason: str = ""
    """Why there were no more steps, where none was refused."""
    back: Callable[[Vector], Vector] = np.copy
    """Gives the caller's coefficients of those that steps are taken in."""
    last: tuple[Vector, float] | None = None
    """Where the last step led, and the value there."""

    @property
    def over(self) -> bool:
        """Whether no more steps are allowed."""
        return self.stopped or self.nit >= self.limit

    def done(self, w: Vector, value: float) -> None:
        """Count a step and show it to the callback, which may stop the fit."""
        self.nit += 1
        self.last = self.back(w), value
        try:
            self.callback(*self.last)
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
    def of(cls, squares: LinearObjective) -> tuple["Frame", "Point"]:
        """Measure the columns of an objective of squared errors; give it at 0 too.

        In one pass over X where it gives curvature with the gradient: then the first rows say what
        to take off the columns, and the rest of their means is taken off the products. Where these
        rows are nothing like the others, there is a second pass.
        """
        p, start = squares.shape[1], np.zeros(squares.size)
        means, rest = np.zeros(squares.size), np.zeros(squares.size)
        if squares.fit_intercept:
            head = squares.model.head(HEAD) if squares.one_pass else None
            means[:p] = _means(squares) if head is None else np.median(head, axis=0)
        value, gradient, gram = squares.quadratic(start, own, means[:p])
        if squares.fit_intercept:
            rest[:p] = gram[:p, p] / gram[p, p]
            if _far(gram, rest):
                means += rest
                value, gradient, gram = squares.quadratic(start, own, means[:p])
                rest[:p] = gram[:p, p] / gram[p, p]
            gram -= gram[p, p] * np.outer(rest, rest)
            gram[:p, p] = gram[p, :p] = 0.0
            means += rest
        units = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
        frame = cls(means, np.maximum(units, OFFSET * np.abs(means)))
        return frame, Point(start, value, gradient, gram)

    def slope(self, gradient: Vector) -> Vector:
        """Give the gradient with respect to these coordinates."""
        return gradient - self.means * gradient[-1:] if self.means.any() else gradient

    def coordinates(self, step: Vector) -> Vector:
        """Give a step of the coefficients in these coordinates."""
        own = step.copy()
        own[-1:] += self.means @ step
        return own

    def step(self, step: Vector) -> Vector:
        """Give a step in these coordinates as one of the coefficients."""
        back = step.copy()
        back[-1:] -= self.means @ step
        return back

    def constant(self, gram: Array) -> Vector:
        """Say which columns are constant."""
        rounding = (CONSTANT * self.means) ** 2 * gram[-1:, -1:].sum()
        found: Vector = (self.means != 0) & (np.diag(gram) <= rounding)
        return found

    def solve(self, gram: Array, slope: Vector) -> Vector:
        """Solve for a step in these coordinates, with nothing along columns that are constant."""
        constant = self.constant(gram)
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


def minimise(
    objective: LinearObjective, w: Vector, frame: Frame, tol: float, steps: Steps
) -> tuple["Point", bool]:
    """Go downhill until no entry of the gradient, in the frame, exceeds ``tol`` of that at 0.

    Returns
    -------
    point : Point
        The last one.
    converged : bool
    """
    here, at_zero = _first(objective, w, frame)
    tolerance = tol * frame.largest(at_zero)
    steps.nfev += 1
    slow = 0
    while not steps.over and frame.largest(here.gradient) > tolerance:
        found = None
        step, left, rounding = _step(objective, here, frame, own)
        if left <= UNSOLVED:
            if 0 <= -float(here.gradient @ step) <= rounding:
                return here, True
            found = _lower(objective, here, frame, step, steps)
        if found is None or found.halvings:
            # The curvature has changed on the way: the other one may lead further.
            step, _, rounding = _step(objective, here, frame, majorising)
            other = _lower(objective, here, frame, step, steps)
            if other is not None and not other.halvings and slow >= PATIENCE:
                other = _farther(objective, here, frame, other, steps)
            slow += 1
            if other is not None and (found is None or other.value < found.value):
                found = other
        if found is None:  # nothing lower to be found: at rounding that is the minimum
            promised = -float(here.gradient @ step)
            converged = 0 <= promised <= max(rounding, ROUNDING * abs(here.value))
            steps.reason = "" if converged else ": none leads lower from there"
            return here, converged
        stuck = frame.largest(found.gradient) > frame.largest(here.gradient) / 2
        if stuck and here.value - found.value <= STUCK * abs(here.value):
            return found, True
        here = found
        steps.done(here.w, here.value)
    return here, frame.largest(here.gradient) <= tolerance


class Point(NamedTuple):
    """An objective at some coefficients."""

    w: Vector
    value: float
    gradient: Vector
    gram: Array | None = None
    """With the loss's own curvature, in a frame; None where that takes another pass."""
    halvings: int = 0


def _first(objective: LinearObjective, w: Vector, frame: Frame) -> tuple[Point, Vector]:
    """Give a point and the gradient at 0, in one pass over X where that is to be had."""
    zero = np.zeros_like(w)
    if not objective.one_pass:
        return _at(objective, w, frame), objective.grad(zero)
    with np.errstate(over="ignore", invalid="ignore"):
        value, gradient, gram, at_zero = objective.quadratic_and_gradient(w, own, frame.means, zero)
    return Point(w, value, gradient, gram), at_zero


def _at(objective: LinearObjective, w: Vector, frame: Frame, halvings: int = 0) -> Point:
    if not objective.one_pass:
        return Point(w, *objective(w), None, halvings)
    with np.errstate(over="ignore", invalid="ignore"):
        return Point(w, *objective.quadratic(w, own, frame.means), halvings)


def _far(gram: Array, rest: Vector) -> bool:
    """Whether the squares of means that are still in X'DX hide the columns' variances."""
    p = gram.shape[0] - 1
    offsets = gram[p, p] * rest[:p] ** 2
    variances = np.diag(gram)[:p] - offsets
    return bool((offsets > FAR**2 * np.maximum(variances, 0.0)).any())


def _means(objective: LinearObjective) -> Vector:
    """Give the columns' weighted means: a Hessian's last column has their sums."""
    last = np.zeros(objective.size)
    last[-1] = 1.0
    sums = objective.hessp(np.zeros(objective.size), last)
    means: Vector = sums[:-1] / sums[-1]
    return means


def _lower(
    objective: LinearObjective, here: Point, frame: Frame, step: Vector, steps: Steps
) -> Point | None:
    """Find a sufficiently lower point along a step, halving it as often as need be."""
    promised = -float(here.gradient @ step)
    if not promised > 0:
        return None
    for halvings in range(HALVINGS):
        w = here.w + step
        if promised > LAST * abs(here.value):
            there = _at(objective, w, frame, halvings)
        else:
            there = Point(w, *objective(w), None, halvings)
        steps.nfev += 1
        if there.value <= here.value - SUFFICIENT * promised:
            return there
        step, promised = step / 2, promised / 2
    return None


def _farther(
    objective: LinearObjective, here: Point, frame: Frame, there: Point, steps: Steps
) -> Point:
    """Double a step for as long as that leads lower."""
    step = there.w - here.w
    while True:
        step = 2 * step
        farther = _at(objective, here.w + step, frame)
        steps.nfev += 1
        if not farther.value < there.value:
            return there
        there = farther


def _step(
    objective: LinearObjective, here: Point, frame: Frame, curvature: Any
) -> tuple[Vector, float, float]:
    """Give a step, the part of the gradient's largest entry that it leaves, and what is rounding.

    A step that promises no more gain than the last changes predictions by less than their rounding
    does, on average over the rows.
    """
    slope = frame.slope(here.gradient)
    gram = here.gram if curvature is own else None
    if gram is None:
        with np.errstate(over="ignore", invalid="ignore"):
            gram = objective.gram(here.w, curvature, frame.means)
    if not np.isfinite(gram).all():
        raise ValueError(
            "X is too large for the loss: the curvature times the squares of its values overflows; "
            "rescale it, or raise the threshold"
        )
    step = -frame.solve(gram, slope)
    left = _largest((slope + gram @ step) / frame.units) / _largest(slope / frame.units)
    rounding = frame.noise(here.w) ** 2 * float(gram[-1:, -1:].sum())
    return frame.step(step), left, rounding


def _largest(vector: Vector) -> float:
    return float(np.abs(vector).max(initial=0.0))
