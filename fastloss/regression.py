"""Robust linear regression: ``fit`` finds the coefficients that minimise a loss."""

from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastloss import absolute, newton
from fastloss.arrays import as_real
from fastloss.formulas import L1, Huber, SmoothL1
from fastloss.losses import Loss, MSELoss, SmoothL1Loss, at_scale, is_auto
from fastloss.newton import Steps
from fastloss.optimize import LinearObjective
from fastloss.scale import mad
from fastloss.typing import Vector

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

# Coefficients up to which X'DX is formed and solved: 1,000 squared float64 are 8 MB.
NEWTON_COEFFICIENTS = 1000
# A loss whose threshold is below the residuals' scale is approached through thresholds that shrink
# by this factor, each of which may take so many steps.
SHRINKING = 0.1
STEPS_A_THRESHOLD = 30
# Absolute error, whose threshold is 0, is approached as long as this many rows lie within the
# threshold for each coefficient: with fewer the curvature becomes singular.
ROWS_WITHIN = 4
# What `minimize` is told besides the gradient, for each method that uses one.
SCIPY_METHODS: dict[str, str | None] = {
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

Callback = Callable[["OptimizeResult"], Any]


def fit(
    X: ArrayLike,
    y: ArrayLike,
    loss: Loss | None = None,
    *,
    weight: ArrayLike | None = None,
    l2: float = 0.0,
    fit_intercept: bool = True,
    method: str = "auto",
    tol: float = 1e-8,
    max_iter: int = 200,
    callback: Callback | None = None,
) -> "OptimizeResult":
    """Fit a linear model by a robust loss.

    Minimises ``loss(X @ coef + intercept, y, weight) + l2 / 2 * ||coef||**2``.

    Parameters
    ----------
    X : array_like of real numbers, shape (n, p)
        See :class:`fastloss.LinearObjective`.
    y : array_like of real numbers, shape (n,)
        What is to be predicted.
    loss : Loss, optional
        Default ``SmoothL1Loss()``. With the threshold 'auto' it is Huber's M-estimate: 1.345 times
        the scale of the residuals (their median absolute value over 0.6745), estimated anew at
        each step, as in R's ``MASS::rlm``.
    weight : array_like, shape (n,), optional
        Not negative, with a positive sum. A weight counts a row as so many.
    l2 : float
        Strength of the penalty, at least 0; the intercept is left out.
    fit_intercept : bool
        Whether the model has an intercept.
    method : str
        'auto' is Newton's method up to 1,000 coefficients and SciPy's L-BFGS-B beyond; otherwise a
        method of ``scipy.optimize.minimize`` that uses gradients.
    tol : float
        Newton stops when no entry of the gradient exceeds ``tol`` times the largest one at
        ``w = 0``, each divided by the root mean square of its column so that units cancel. With
        the threshold 'auto', when a step changes the residuals by less than ``tol`` of themselves.
        SciPy's methods get it as their own ``tol``.
    max_iter : int
        Steps at most.
    callback : callable, optional
        Called after each step with an ``OptimizeResult`` that holds ``x`` and ``fun``; if it
        raises ``StopIteration``, the fit ends there.

    Returns
    -------
    OptimizeResult
        ``x`` (coefficients, then the intercept if fitted), ``fun``, ``jac``, ``success``,
        ``message``, ``nit``, ``nfev``; and ``coef``, ``intercept`` (0.0 if not fitted), ``scale``
        (of the residuals, in y's units, by their median absolute value) and ``loss`` (with the
        threshold that was found).

    Raises
    ------
    TypeError, ValueError
        As :class:`fastloss.LinearObjective`; and ValueError if X or y is not finite, naming the
        first row, or ``method``, ``tol`` or ``max_iter`` is out of range.

    Notes
    -----
    Absolute error (and ``beta = 0``) has no curvature. 'auto' minimises it exactly by SciPy's
    linear programming where X has at most 200,000 elements and there is no penalty, otherwise
    through smooth L1 losses of shrinking thresholds, as far as four residuals for each coefficient
    lie within; ``message`` names the last one, and the value is off by at most half of it.

    Examples
    --------
    >>> import numpy as np
    >>> import fastloss as fl
    >>> X = np.arange(12.0)[:, None]
    >>> y = 1 + 2 * X[:, 0] + np.tile([0.1, -0.1], 6)
    >>> y[3] = 70  # an outlier
    >>> result = fl.fit(X, y, fl.SmoothL1Loss(beta="auto"))
    >>> result.coef.round(1), round(result.intercept)
    (array([2.]), 1)
    """
    loss = SmoothL1Loss() if loss is None else loss
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a fastloss.Loss, got {loss!r}")
    _check(method, tol, max_iter, callback)
    squares = LinearObjective(
        X, y, MSELoss(reduction=loss.reduction), weight=weight, l2=l2, fit_intercept=fit_intercept
    )
    steps = Steps(max_iter, _reporter(callback))
    start = np.zeros(squares.size)
    with np.errstate(over="ignore", invalid="ignore"):
        value, gradient = squares(start)
        curvature = squares.hessp(start, np.ones(squares.size))
    if not (isfinite(value) and np.isfinite(gradient).all() and np.isfinite(curvature).all()):
        _raise_for_first_bad_row(squares)
    return _Fit(squares, method, tol, steps).run(loss)


class _Fit:
    """One fit: the data, how to go downhill, and how far it has come."""

    def __init__(self, squares: LinearObjective, method: str, tol: float, steps: Steps) -> None:
        self.squares = squares
        self.newton = method == "auto" and squares.size <= NEWTON_COEFFICIENTS
        self.method = "L-BFGS-B" if method == "auto" else method
        self.tol = tol
        self.steps = steps
        self.converged = False
        self.message = ""
        self.w = np.zeros(squares.size)
        if self.newton:
            # Least squares: where R's rlm starts, and within reach of any other minimum.
            gram = squares.hess(self.w)
            self.units = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
            self.w = self.w - newton.solve(gram, squares(self.w)[1])

    def run(self, loss: Loss) -> "OptimizeResult":
        if is_auto(loss):
            loss = self._alternate(loss)
        elif not self.newton:
            self._minimise_by_scipy(self.squares.with_loss(loss))
        else:
            threshold = _threshold(loss)
            if threshold is None:
                self._descend(loss)
            elif threshold > 0:
                self._approach(loss, threshold)
            else:
                self._minimise_absolute(loss)
        return self._result(loss)

    def _descend(self, loss: Loss) -> None:
        """Go on by Newton's method."""
        objective = self.squares.with_loss(loss)
        start = np.abs(objective(np.zeros_like(self.w))[1] / self.units).max(initial=0.0)
        self.w, _, _, self.converged = newton.minimise(
            objective, self.w, self.units, self.tol * start, self.steps
        )

    def _approach(self, loss: Loss, threshold: float) -> None:
        """Minimise smooth L1 or Huber, from large thresholds, whose minimum is easy to find.

        Far below the residuals' scale the minimum is next to that of absolute error.
        """
        limit = self.steps.limit
        larger = SHRINKING * self._scale()
        while larger > threshold and not self.steps.over:
            self.steps.limit = min(limit, self.steps.nit + STEPS_A_THRESHOLD)
            self._descend(Loss(SmoothL1(larger), loss.reduction))
            self.steps.limit = limit
            if not self.converged:
                break
            larger *= SHRINKING
        if larger > threshold and not self.steps.over:
            vertex = absolute.minimum(self.squares)
            self.w = self.w if vertex is None else vertex
        self._descend(loss)

    def _minimise_absolute(self, loss: Loss) -> None:
        """Minimise absolute error exactly, or within half a small threshold if X is large."""
        vertex = absolute.minimum(self.squares)
        if vertex is not None:
            self.w, self.converged = vertex, True
            self.steps.done(self.w, self.squares.with_loss(loss)(self.w)[0])
            return
        threshold, limit = self._scale(), self.steps.limit
        found = False
        while not self.steps.over:
            within = np.count_nonzero(np.abs(self.squares.residuals(self.w)) < threshold)
            if within < ROWS_WITHIN * self.w.size:
                break
            self.steps.limit = min(limit, self.steps.nit + STEPS_A_THRESHOLD)
            before = self.w
            self._descend(Loss(SmoothL1(threshold), loss.reduction))
            self.steps.limit = limit
            if not self.converged:
                self.w = before if found else self.w
                break
            found = True
            self.message = f"converged, as smooth L1 with beta = {threshold:.3g}"
            threshold *= SHRINKING
        self.converged = found

    def _minimise_by_scipy(self, objective: LinearObjective) -> None:
        from scipy.optimize import minimize

        second = SCIPY_METHODS[self.method]
        result = minimize(
            objective,
            self.w,
            jac=True,
            method=self.method,
            tol=self.tol,
            options={_LIMIT.get(self.method, "maxiter"): max(1, self.steps.limit - self.steps.nit)},
            callback=self._scipy_callback(objective),
            **({} if second is None else {second: getattr(objective, second)}),
        )
        self.w = np.asarray(result.x)
        self.steps.nit += int(result.nit)
        self.steps.nfev += int(result.nfev)
        self.converged = bool(result.success)
        self.message = str(result.message)

    def _scipy_callback(self, objective: LinearObjective) -> Any:
        if self.method in ("TNC", "SLSQP"):  # these know only the older kind of callback
            return lambda xk: self.steps.callback(xk, objective(xk)[0])

        def callback(intermediate_result: "OptimizeResult") -> None:
            self.steps.callback(intermediate_result.x, float(intermediate_result.fun))

        return callback

    def _alternate(self, loss: Loss) -> Loss:
        """Estimate scale and coefficients in turns until the residuals stay where they are."""
        residuals = self.squares.residuals(self.w)
        # Below this the residuals are rounding: most rows are met exactly.
        least = np.finfo(float).eps * float(np.abs(self.squares.y).max())
        while True:
            scale = mad(residuals, self.squares.weight)
            found = at_scale(loss, max(scale, least, np.finfo(float).tiny))
            if scale <= least:
                self.converged = True
                return found
            if self.steps.over:
                return found
            objective = self.squares.with_loss(found)
            if self.newton:
                value, gradient = objective(self.w)
                self.steps.nfev += 1
                gram = objective.gram(self.w, newton.majorising)
                self.w = self.w - newton.solve(gram, gradient)
                self.steps.done(self.w, value)
            else:
                self._minimise_by_scipy(objective)
            before, residuals = residuals, self.squares.residuals(self.w)
            change = np.linalg.norm(residuals - before)
            if change <= self.tol * np.linalg.norm(before):
                self.converged = True
                return found

    def _scale(self) -> float:
        return mad(self.squares.residuals(self.w), self.squares.weight)

    def _result(self, loss: Loss) -> "OptimizeResult":
        from scipy.optimize import OptimizeResult

        value, gradient = self.squares.with_loss(loss)(self.w)
        p = self.squares.X.shape[1]
        success = self.converged and not self.steps.stopped
        if not self.message:
            self.message = (
                "the callback stopped the fit"
                if self.steps.stopped
                else "converged"
                if success
                else f"not converged after {self.steps.nit} steps"
            )
        return OptimizeResult(
            x=self.w,
            fun=value,
            jac=gradient,
            success=success,
            message=self.message,
            nit=self.steps.nit,
            nfev=self.steps.nfev,
            coef=self.w[:p],
            intercept=float(self.w[p]) if self.squares.fit_intercept else 0.0,
            scale=self._scale(),
            loss=loss,
        )


def _threshold(loss: Loss) -> float | None:
    """Give the residual at which a loss becomes linear; None if that is not known."""
    formula: Any = loss.formula
    if isinstance(formula, SmoothL1 | Huber):
        return formula[0]
    return 0.0 if isinstance(formula, L1) else None


def _reporter(callback: Callback | None) -> Callable[[Vector, float], Any]:
    if callback is None:
        return lambda w, value: None
    from scipy.optimize import OptimizeResult

    return lambda w, value: callback(OptimizeResult(x=w.copy(), fun=value))


def _check(method: str, tol: float, max_iter: int, callback: object) -> None:
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable or None, got {callback!r}")
    names = ["auto", *SCIPY_METHODS]
    if method not in names:
        raise ValueError(f"method must be one of {', '.join(names)}, got {method!r}")
    tolerance = as_real("tol", tol)
    if tolerance.ndim or not 0 <= tolerance < np.inf:
        raise ValueError(f"tol must be a number of at least 0, got {tol!r}")
    if isinstance(max_iter, bool) or not isinstance(max_iter, int | np.integer):
        raise TypeError(f"max_iter must be an integer, got {max_iter!r}")
    if max_iter < 1:
        raise ValueError(f"max_iter must be at least 1, got {max_iter!r}")


def _raise_for_first_bad_row(objective: LinearObjective) -> None:
    rows = np.flatnonzero(~np.isfinite(objective.y))
    bad = {"y": rows[0]} if rows.size else {}
    for low in range(0, objective.X.shape[0], 8192):
        block = objective.X[low : low + 8192]
        rows = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if rows.size:
            bad["X"] = low + rows[0]
            break
    if not bad:
        raise ValueError("X or y is too large: the squares of its values overflow; rescale it")
    name = min(bad, key=lambda k: bad[k])
    raise ValueError(f"{name} must be finite, but its row {bad[name]} is not")
