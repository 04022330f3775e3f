"""The exact minimum of absolute error, by linear programming."""

import numpy as np

from fastloss.fitting.frame import Frame
from fastloss.formulas import L1
from fastloss.loss import Loss
from fastloss.optimize import LinearObjective
from fastloss.typing import Array, Vector

# Elements of X up to which the linear program of all rows is solved: 5,000 rows of 10 columns take
# 0.1 s, and time grows faster than the elements do.
ELEMENTS = 200_000
# Rows for each coefficient in the program of those near a minimum, doubled until it is exact, and
# the elements of X in the largest. 20,000 rows of 100 columns take 0.2 s so, 3,000 of 300 5 s.
NEAR_ROWS = 12
NEAR_ELEMENTS = 1 << 20
# A round that leaves residuals of less than this part of the last ones' median is worth another.
NEARER = 0.1
ROUNDS = 8
# So many parts of y and of what predicts it are rounding.
MET = 8 * np.finfo(float).eps


def minimum(objective: LinearObjective, start: Vector, frame: Frame) -> Vector | None:
    """Give the coefficients of least (weighted) absolute error, or None if that is out of reach.

    Parameters
    ----------
    objective : LinearObjective
        Its data and weights; its loss is not looked at.
    start : ndarray of float64
        Coefficients whose residuals are fitted, so that neither y's offset nor its unit matters to
        the solver, whose tolerances are absolute.
    frame : Frame
        The columns' offsets and units, for the same reason.

    Returns
    -------
    ndarray of float64 or None
        None if X is too large, there is a penalty, or the solver fails.
    """
    n, p = objective.shape
    if (objective.l2 and p) or not objective.size or n * objective.size > ELEMENTS:
        return None
    X, weight = objective.model.on_host()
    y = -objective.model.to_host(objective.residuals(np.zeros_like(start)))
    return _vertex(X, y, weight, start, frame, np.zeros(objective.size))


def minimum_near(
    objective: LinearObjective, near: Vector, frame: Frame, distance: float
) -> tuple[Vector, bool]:
    """Give the coefficients of least absolute error from some that are near, and whether they are.

    Rows whose residuals are large keep their signs, so all that they add is linear. The others,
    twelve for each coefficient or those within ``distance`` at first, are few enough for a linear
    program (Portnoy and Koenker, "The Gaussian hare and the Laplacian tortoise", Statistical
    Science 12, 1997). What it finds is the minimum of a function below the loss, and that of the
    loss if no other residual has changed its sign: then both are equal there.

    Returns
    -------
    w : ndarray of float64
        Not higher than ``near``.
    exact : bool
        False if the program is too large or not solved, the rows are not at hand, or there is a
        penalty.
    """
    n, p = objective.shape
    if objective.l2 and p:
        return near, False
    count = min(n, max(NEAR_ROWS * objective.size, objective.within(near, distance)))
    absolute, best = objective.with_loss(Loss(L1(), "sum")), near
    least = absolute.value(near)
    while 0 < count * objective.size <= NEAR_ELEMENTS:
        rows = objective.nearest(near, count)
        # More rows where many residuals are equal, none where all overflow.
        if rows is None or not 0 < rows.y.size * objective.size <= NEAR_ELEMENTS:
            break
        found = _vertex(rows.X, rows.y, rows.weight, near, frame, frame.slope(rows.slope))
        if found is not None:
            total = absolute.value(found)
            if total <= least * (1 + MET) and not objective.changed(rows.bound, near, found):
                return found, True
            if total < least:
                least, best = total, found
        if count == n:
            break
        count = min(n, 2 * count)
    return best, False


def _vertex(
    X: Array, y: Vector, weight: Vector | None, start: Vector, frame: Frame, pull: Vector
) -> Vector | None:
    """Minimise the absolute error of some rows, and what others pull at the coefficients.

    Solves the dual problem, which has a bounded variable for each row and an equation for each
    coefficient (Koenker and Bassett, "Regression Quantiles", 1978): maximise ``y @ d`` where
    ``X.T @ d = pull`` and ``|d| <= weight``. The coefficients are the prices of the equations.
    """
    n, p = X.shape
    counted = np.ones(n, bool) if weight is None else weight > 0  # others would spoil the units
    y, A = y[counted], np.ones((np.count_nonzero(counted), start.size))
    A[:, :p] = X[counted]
    equations = (A - frame.means).T
    size = np.abs(equations).max(axis=1, keepdims=True)
    size[size == 0] = 1.0
    equations /= size
    bound = np.ones(n) if weight is None else np.asarray(weight, np.float64)
    pull = pull / size[:, 0] / bound.max()
    bound = bound[counted] / bound.max()
    w, unit = start, np.inf
    for _ in range(ROUNDS):
        with np.errstate(over="ignore", invalid="ignore"):
            target = y - A @ w
        sizes = np.abs(target)
        if not np.isfinite(sizes).all():
            return None
        met = MET * np.median(np.abs(y) + np.abs(A) @ np.abs(w))
        if np.median(sizes) > NEARER * unit or (np.isfinite(unit) and np.median(sizes) <= met):
            break
        # The solver's tolerances are absolute, so the unit is that of most rows' residuals, which
        # far outliers hide until the first prices are found.
        unit = float(np.median(sizes)) or float(sizes.mean()) or 1.0
        prices = _prices(equations, pull, target / unit, bound)
        if prices is None:
            return None
        with np.errstate(over="ignore"):  # which is seen in the next round
            w = w + frame.step(unit * prices / size[:, 0])
    return w


def _prices(equations: Array, pull: Vector, target: Vector, bound: Vector) -> Vector | None:
    from scipy.optimize import linprog

    result = linprog(
        -target,
        A_eq=equations,
        b_eq=pull,
        bounds=np.column_stack((-bound, bound)),
        method="highs",
    )
    if result.status != 0:
        return None
    prices: Vector = -np.asarray(result.eqlin.marginals)
    return prices
