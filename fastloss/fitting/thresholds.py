"""Fits of losses that are linear beyond a threshold, through larger ones, down to none at all."""

from typing import Any

from fastloss.fitting import absolute, newton
from fastloss.fitting.search import ROWS_OF_SCALE, Search
from fastloss.fitting.steps import Steps
from fastloss.formulas import L1, Huber, SmoothL1
from fastloss.loss import Loss
from fastloss.optimize import LinearObjective
from fastloss.typing import Vector

# A loss whose threshold is below the residuals' scale is approached through thresholds that shrink
# by this factor, each of which may take so many steps.
SHRINKING = 0.1
STEPS_A_THRESHOLD = 30
# A fit of more than so many times that many rows for each column starts from these rows' minimum,
# where the gradient is so small a part of that at 0.
ROWS_OF_START = 64
LARGE = 8
START = 1e-4
# Absolute error, whose threshold is 0, is approached as long as this many rows lie within the
# threshold for each coefficient: with fewer the curvature becomes singular.
ROWS_WITHIN = 4


def threshold_of(loss: Loss) -> float | None:
    """Give the residual at which a loss becomes linear; None if that is not known."""
    formula: Any = loss.formula
    # The very classes: one derived from them may be any other loss.
    if type(formula) in (SmoothL1, Huber):
        return float(formula[0])
    return 0.0 if type(formula) is L1 else None


def minimise(search: Search, loss: Loss) -> None:
    """Minimise a loss that has a threshold."""
    threshold = threshold_of(loss)
    if threshold:
        _approach(search, loss, threshold)
    else:
        _minimise_absolute(search, loss)


def _approach(search: Search, loss: Loss, threshold: float) -> None:
    """Minimise smooth L1 or Huber, from large thresholds, whose minimum is easy to find.

    Far below the residuals' scale the minimum is next to that of absolute error.
    """
    larger = SHRINKING * search.rough_scale(search.w)
    easier = Loss(SmoothL1(larger), loss.reduction)
    _start_from_rows(search, easier if larger > threshold else loss)
    larger = SHRINKING * search.rough_scale(search.w)
    while larger > threshold and not search.steps.over:
        _descend_some(search, Loss(SmoothL1(larger), loss.reduction))
        if not search.converged:
            break
        larger *= SHRINKING
    if larger > threshold and not search.steps.over:
        vertex = absolute.minimum(search.squares, search.w, search.frame)
        search.w = search.w if vertex is None else vertex
    search.descend(loss)


def _start_from_rows(search: Search, loss: Loss) -> None:
    """Start at the minimum over some rows, where least squares would be far from that of all.

    With a tenth of outliers, all on one side, that saves three passes over X of ten.
    """
    squares, p = search.squares, search.squares.shape[1]
    count = max(ROWS_OF_SCALE, ROWS_OF_START * p)
    if squares.shape[0] < LARGE * count:
        return
    sample = squares.model.sample(count)
    if sample is None or (sample[2] is not None and not sample[2].any()):
        return
    if sample[1].size < count // LARGE:  # little memory keeps few rows
        return
    X, y, weight = sample
    mean = Loss(loss.formula)
    objective = LinearObjective(X, y, mean, weight=weight, fit_intercept=squares.fit_intercept)
    objective.penalise_as(squares)
    steps = Steps(STEPS_A_THRESHOLD, lambda w, value: None)
    point, found = newton.minimise(objective, search.w, search.frame, START, steps)
    search.w = point.w if found else search.w


def _minimise_absolute(search: Search, loss: Loss) -> None:
    """Minimise absolute error exactly, or within half a small threshold if that is too much."""
    squares = search.squares
    vertex = absolute.minimum(squares, search.w, search.frame)
    if vertex is not None:
        search.w, search.converged = vertex, True
        search.steps.done(search.w, squares.with_loss(loss)(search.w)[0])
        return
    least = search.mostly_least()
    threshold: float | None = max(search.scale(), least)
    found = near = not threshold  # all of y is 0, and met
    last = 0.0
    while threshold and not search.steps.over:
        before = search.w
        _descend_some(search, Loss(SmoothL1(threshold), loss.reduction))
        if not search.converged:
            search.w = _lower(squares.with_loss(loss), before, search.w) if found else search.w
            break
        found, last = True, threshold
        search.message = f"converged, as smooth L1 with beta = {threshold:.3g}"
        scale = search.scale()
        near = _is_near(search, threshold, least, scale)
        threshold = None if near else _smaller(search, threshold, least, scale)
    search.converged = found
    if found and not near and not search.steps.stopped:
        search.w, exact = absolute.minimum_near(squares, search.w, search.frame, last)
        search.message = "" if exact else search.message


def _smaller(search: Search, threshold: float, least: float, scale: float) -> float | None:
    """Give the next threshold after one whose minimum was found, None if it has too few rows."""
    squares = search.squares
    smaller = max(SHRINKING * min(threshold, scale), least)
    # A penalty has curvature of its own.
    enough = 0 if squares.l2 else min(ROWS_WITHIN * search.w.size, squares.shape[0] // ROWS_WITHIN)
    if squares.within(search.w, smaller) >= enough:
        return smaller
    # Or those that are within the threshold lie together, apart from 0: their minimum is elsewhere.
    return smaller if SHRINKING * squares.within(search.w, threshold) >= enough else None


def _is_near(search: Search, threshold: float, least: float, scale: float) -> bool:
    """Whether half the threshold is no more than ``tol`` of the value, or rounding."""
    assert search.known is not None
    size = search.squares.count / search.squares.divisor
    # Far outliers make the value larger than residuals of the scale do.
    value = min(search.known[1].value, size * scale)
    return threshold <= least or size * threshold / 2 <= search.tol * value


def _lower(objective: LinearObjective, first: Vector, second: Vector) -> Vector:
    """Give the better of two points."""
    return first if objective.value(first) <= objective.value(second) else second


def _descend_some(search: Search, loss: Loss) -> None:
    """Take some steps of Newton's method."""
    limit = search.steps.limit
    search.steps.limit = min(limit, search.steps.nit + STEPS_A_THRESHOLD)
    search.descend(loss)
    search.steps.limit = limit
