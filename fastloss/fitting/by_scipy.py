"""Fits by ``scipy.optimize.minimize``."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastloss.fitting.search import Search
from fastloss.optimize import LinearObjective
from fastloss.typing import Vector

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

# What `minimize` is told besides the gradient, for each method that uses one.
METHODS: dict[str, str | None] = {
    "CG": None,
    "BFGS": None,
    "L-BFGS-B": None,
    "TNC": None,
    "SLSQP": None,
    "Newton-CG": "hessp",
    "trust-ncg": "hessp",
    "trust-krylov": "hessp",
    "trust-constr": "hessp",
    "trust-exact": "hess",
    "dogleg": "hess",
}

# TNC has no limit of steps, only one of evaluations.
_LIMIT = {"TNC": "maxfun"}

# Rows that say how large columns are.
ROWS = 1024


def minimise(search: Search, objective: LinearObjective) -> None:
    """Go on by the method of ``scipy.optimize.minimize`` that the search is for.

    One that nobody has asked for takes columns of any units: it goes on in coefficients times
    these, without which L-BFGS-B would not come near the minimum.
    """
    from scipy.optimize import minimize

    second = METHODS[search.method]
    before = search.steps.nit
    units = np.ones(objective.size) if search.chosen else _units(objective)

    def scaled(z: Vector) -> tuple[float, Vector]:
        value, gradient = objective(z / units)
        return value, gradient / units

    try:
        result = minimize(
            scaled,
            search.w * units,
            jac=True,
            method=search.method,
            tol=search.tol,
            options={_LIMIT.get(search.method, "maxiter"): search.steps.limit - search.steps.nit},
            callback=_callback(search, objective, units),
            **({} if second is None else {second: getattr(objective, second)}),
        )
    except StopIteration:  # methods that do not know how a callback stops them
        return
    search.w = np.asarray(result.x) / units
    search.steps.nit = max(search.steps.nit, before + int(result.nit))
    search.steps.nfev += int(result.nfev)
    search.converged = bool(result.success)
    search.message = str(result.message)


def _units(objective: LinearObjective) -> Vector:
    """Give the size of each column, and of the intercept's, by rows from all over."""
    p = objective.shape[1]
    found = objective.model.sample(ROWS)
    units = np.ones(objective.size)
    if found is not None:
        with np.errstate(over="ignore"):
            size = np.sqrt(np.mean(np.square(found[0]), axis=0))
        known = (size > 0) & (size < np.inf)
        units[:p] = np.where(known, size, np.median(size[known]) if known.any() else 1.0)
    return units


def _callback(search: Search, objective: LinearObjective, units: Vector) -> Any:
    def step(z: Vector, value: float) -> None:
        search.w = z / units
        search.steps.done(search.w, value)
        if search.steps.stopped:
            raise StopIteration

    if search.method in ("TNC", "SLSQP"):  # these know only the older kind of callback
        return lambda xk: step(xk, objective(xk)[0])

    def callback(intermediate_result: "OptimizeResult") -> None:
        step(intermediate_result.x, float(intermediate_result.fun))

    return callback
