"""The exact minimum of absolute error, by linear programming."""

import numpy as np

from fastloss.newton import Frame
from fastloss.optimize import LinearObjective
from fastloss.typing import Vector

# Elements of X up to which the linear program is solved: 5,000 rows of 10 columns take 0.1 s, and
# time grows faster than the elements do.
ELEMENTS = 200_000


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
    from scipy.optimize import linprog

    n, p = objective.shape
    if objective.l2 or not objective.size or n * objective.size > ELEMENTS:
        return None
    X, weight = objective.model.on_host()
    equations = np.empty((objective.size, n))
    equations[:p] = X.T
    equations[p:] = 1.0
    equations -= frame.means[:, None]
    size = np.abs(equations).max(axis=1, keepdims=True)
    size[size == 0] = 1.0
    target = -objective.model.to_host(objective.residuals(start))
    unit = float(np.abs(target).mean()) or 1.0
    weight = np.ones(n) if weight is None else np.asarray(weight, np.float64)
    bound = weight / weight.max()
    result = linprog(
        -target / unit,
        A_eq=equations / size,
        b_eq=np.zeros(objective.size),
        bounds=np.column_stack((-bound, bound)),
        method="highs",
    )
    if result.status != 0:
        return None
    prices: Vector = -np.asarray(result.eqlin.marginals) * (unit / size[:, 0])
    return start + frame.step(prices)
