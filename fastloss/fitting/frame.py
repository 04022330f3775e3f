"""Coordinates in which a robust linear model is solved for, whatever its columns' units."""

from math import sqrt
from typing import NamedTuple, cast

import numpy as np

from fastloss.curvature import own
from fastloss.fitting.point import Point
from fastloss.optimize import LinearObjective
from fastloss.typing import Array, Vector

# Eigenvalues below this part of the largest, columns scaled to 1, count as zero.
SINGULAR = 1e-12
# The slope of a column is known to about 1e-16 of its offset: one that varies by less than this
# part of its offset is judged as if it varied by that much.
OFFSET = 1e-6
# Rows whose medians are near enough to the columns' means to be taken off before they are squared,
# unless what is left of these is so many times the columns' deviation: then 12 of 16 digits are.
HEAD = 1024
FAR = 100.0
# A column that varies by less than this part of its mean is constant: that much is rounding.
CONSTANT = 1e-14


class Frame(NamedTuple):
    """Coordinates in which columns have no offset and, divided by their units, equal weight.

    A column of dates 1e9 seconds from 0 is nearly a multiple of the intercept's: without their
    common part taken out, X'DX has lost the difference to rounding.
    """

    means: Vector
    units: Vector

    @classmethod
    def of(cls, squares: LinearObjective) -> tuple["Frame", Point]:
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

    def noise(self, w: Vector, gram: Array) -> float:
        """Give the norm, by X'DX, of what rounding changes predictions by.

        Their terms may be far larger than they are. The last column's size may bring back what its
        coefficient alone would overflow by.
        """
        terms = np.abs(self.means) @ np.abs(w) + np.abs(w[-1:]).sum()
        size = sqrt(max(0.0, float(gram[-1:, -1:].sum())))
        return float(np.finfo(float).eps * terms) * size

    def largest(self, gradient: Vector) -> float:
        """Give the largest entry of the gradient, whatever the columns' units."""
        return largest(self.slope(gradient) / self.units)


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


def largest(vector: Vector) -> float:
    """Give the largest absolute entry, 0 of none."""
    return float(np.abs(vector).max(initial=0.0))


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
