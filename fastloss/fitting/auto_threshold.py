"""Fits that find the threshold with the coefficients: ``beta='auto'``."""

from math import sqrt

import numpy as np

from fastloss.curvature import majorising
from fastloss.fitting import by_scipy
from fastloss.fitting.magnitude import check_curvature
from fastloss.fitting.point import Point
from fastloss.fitting.search import Search
from fastloss.loss import Loss, at_scale
from fastloss.typing import Vector


def minimise(search: Search, loss: Loss) -> Loss:
    """Estimate scale and coefficients in turns until the residuals stay where they are.

    That is measured by their scale: far outliers' residuals are so large that to change by little
    of themselves, as in R, says nothing of the others'.
    """
    least = search.mostly_least()
    while True:
        spread, before = search.squares.spread(search.w), search.w
        found = at_scale(loss, max(spread.scale, least, np.finfo(float).tiny))
        if spread.scale <= least:  # most rows are met exactly
            search.converged = True
            return found
        if search.steps.over:
            return found
        objective = search.squares.with_loss(found)
        if search.newton:
            with np.errstate(over="ignore", invalid="ignore"):
                quadratic = objective.quadratic(search.w, majorising, search.frame.means)
            check_curvature(quadratic[2], search.gram)
            search.steps.nfev += 1
            search.w = search.stepped(Point(search.w, *quadratic))
            search.steps.done(search.w, quadratic[0])
        else:
            by_scipy.minimise(search, objective)
        usual = min(spread.norm, spread.scale * search.squares.count**0.5)
        if _change(search, search.w - before) <= search.tol * usual + _noise(search):
            search.converged = True
            return found


def _change(search: Search, step: Vector) -> float:
    """Give the norm of what a step changes the residuals by."""
    squares = search.squares
    if search.gram is not None:
        step = search.frame.coordinates(step)
        product = search.gram @ step
    else:
        product = squares.hessp(search.w, step)
    curved = float(step @ product) - float(step @ squares.penalty_slope(step))
    return sqrt(max(0.0, curved * squares.divisor / 2))


def _noise(search: Search) -> float:
    """Give the norm of what rounding changes the residuals by."""
    if search.gram is None:
        return 0.0
    return 2 * search.frame.noise(search.w, search.gram) * sqrt(search.squares.divisor / 2)
