"""The exact minimum of absolute error, by linear programming."""

import numpy as np

from fastloss.fitting.frame import Frame
from fastloss.optimize import LinearObjective
from fastloss.typing import Array, Vector

# Elements of X up to which the linear program is solved: 5,000 rows of 10 columns take 0.1 s, and
# time grows faster than the elements do.
ELEMENTS = 200_000
# A round that leaves residuals of less than this part of the last ones' median is worth another.
NEARER = 0.1
ROUNDS = 8


def minimum(objective: LinearObjective, start: Vector, frame: Frame) -> Vector | None:
    """Give the coefficients of least (weighted) absolute error, or None if that is out of reach.

    Solves the dual problem, which has a bounded variable for each row and an equation for each
    coefficient (Koenker and Bassett, "Regression Quantiles", 1978): maximise ``y @ d`` where
    ``X.T @ d = 0`` and ``|d| <= weight``. The coefficients are the prices of the equations.

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
    counted = np.ones(n, bool) if weight is None else weight > 0  # others would spoil the units
    y, A = y[counted], np.ones((np.count_nonzero(counted), objective.size))
    A[:, :p] = X[counted]
    equations = (A - frame.means).T
    size = np.abs(equations).max(axis=1, keepdims=True)
    size[size == 0] = 1.0
    equations /= size
    bound = np.ones(n) if weight is None else np.asarray(weight, np.float64)
    bound = bound[counted] / bound.max()
    w, unit = start, np.inf
    for _ in range(ROUNDS):
        with np.errstate(over="ignore", invalid="ignore"):
            target = y - A @ w
        sizes = np.abs(target)
        if not np.isfinite(sizes).all():
            return None
        if np.median(sizes) > NEARER * unit:
            break
        # The solver's tolerances are absolute, so the unit is that of most rows' residuals, which
        # far outliers hide until the first prices are found.
        unit = float(np.median(sizes)) or float(sizes.mean()) or 1.0
        prices = _prices(equations, target / unit, bound)
        if prices is None:
            return None
        with np.errstate(over="ignore"):  # which is seen in the next round
            w = w + frame.step(unit * prices / size[:, 0])
    return w


def _prices(equations: Array, target: Vector, bound: Vector) -> Vector | None:
    from scipy.optimize import linprog

    result = linprog(
        -target,
        A_eq=equations,
        b_eq=np.zeros(len(equations)),
        bounds=np.column_stack((-bound, bound)),
        method="highs",
    )
    if result.status != 0:
        return None
    prices: Vector = -np.asarray(result.eqlin.marginals)
    return prices
