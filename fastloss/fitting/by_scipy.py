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


def minimise(search: Search, objective: LinearObjective) -> None:
    """Go on by the method of ``scipy.optimize.minimize`` that the search is for."""
    from scipy.optimize import minimize

    second = METHODS[search.method]
    before = search.steps.nit
    try:
        result = minimize(
            objective,
            search.w,
            jac=True,
            method=search.method,
            tol=search.tol,
            options={_LIMIT.get(search.method, "maxiter"): search.steps.limit - search.steps.nit},
            callback=_callback(search, objective),
            **({} if second is None else {second: getattr(objective, second)}),
        )
    except StopIteration:  # methods that do not know how a callback stops them
        return
    search.w = np.asarray(result.x)
    search.steps.nit = max(search.steps.nit, before + int(result.nit))
    search.steps.nfev += int(result.nfev)
    search.converged = bool(result.success)
    search.message = str(result.message)


def _callback(search: Search, objective: LinearObjective) -> Any:
    def step(w: Vector, value: float) -> None:
        search.w = w.copy()
        search.steps.done(w, value)
        if search.steps.stopped:
            raise StopIteration

    if search.method in ("TNC", "SLSQP"):  # these know only the older kind of callback
        return lambda xk: step(xk, objective(xk)[0])

    def callback(intermediate_result: "OptimizeResult") -> None:
        step(intermediate_result.x, float(intermediate_result.fun))

    return callback
