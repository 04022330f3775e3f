"""Robust linear regression: ``fit`` finds the coefficients that minimise a loss."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastloss.arrays import caller_level
from fastloss.fitting import by_scipy, ways
from fastloss.fitting.steps import Steps
from fastloss.interrupts import import_whole
from fastloss.loss import Loss
from fastloss.losses import MSELoss, SmoothL1Loss
from fastloss.optimize import MEMORY_LIMIT, LinearObjective
from fastloss.place import as_real
from fastloss.progress import Watch, watching
from fastloss.typing import Vector

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

Callback = Callable[["OptimizeResult"], Any]


class ConvergenceWarning(UserWarning):
    """A fit has ended before it reached the minimum."""


def fit(
    X: Any,
    y: Any,
    loss: Loss | None = None,
    *,
    weight: Any = None,
    l2: float = 0.0,
    fit_intercept: bool = True,
    method: str = "auto",
    tol: float = 1e-8,
    max_iter: int = 200,
    callback: Callback | None = None,
    device: str | None = None,
    memory_limit: int = MEMORY_LIMIT,
    progress: bool | Watch = False,
) -> "OptimizeResult":
    """Fit a linear model by a robust loss.

    Minimises ``loss(X @ coef + intercept, y, weight) + l2 / 2 * ||coef||**2``.

    Parameters
    ----------
    X : array_like of real numbers, shape (n, p)
        Or what is read block by block, such as the path of a Parquet file, see
        :class:`fastloss.LinearObjective`.
    y : array_like of real numbers, shape (n,)
        What is to be predicted; the name of a column where X is a file.
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
        'auto' is Newton's method up to 1,000 coefficients (256 columns of Dask arrays) and SciPy's
        L-BFGS-B beyond; otherwise a method of ``scipy.optimize.minimize`` that uses gradients.
    tol : float
        Newton stops when no entry of the gradient exceeds ``tol`` times the largest one at
        ``w = 0``, each divided by the root mean square of its column so that units cancel. With
        the threshold 'auto', when a step changes the residuals by less than ``tol`` times their
        scale, in the root of the mean of squares.
        SciPy's methods get it as their own ``tol``.
    max_iter : int
        Steps at most.
    callback : callable, optional
        Called after each step with an ``OptimizeResult`` that holds ``x`` and ``fun``; if it
        raises ``StopIteration``, the fit ends there.
    device : {None, 'cpu', 'cuda', 'cuda:N'}
        Where to compute; by default where X, y and the weights live. Coefficients and results are
        NumPy's in any case.
    memory_limit : int
        Bytes that an X on disk may take, see :class:`fastloss.LinearObjective`.
    progress : bool or callable
        True shows a bar by rich while X is read block by block: which pass it is, rows a second
        and the time until the end of the pass. A callable gets the number of the pass, the rows
        that it has read and all rows, after each block; of Dask arrays, after each pass.

    Returns
    -------
    OptimizeResult
        ``x`` (coefficients, then the intercept if fitted), ``fun``, ``jac``, ``success``,
        ``message``, ``nit``, ``nfev``; and ``coef``, ``intercept`` (0.0 if not fitted), ``scale``
        (of the residuals, in y's units, by their median absolute value), ``loss`` (with the
        threshold that was found) and ``stopped`` (whether the callback ended the fit).

    Raises
    ------
    TypeError, ValueError
        As :class:`fastloss.LinearObjective`; and ValueError if X or y is not finite, naming the
        first row, or so large or small that squares of its values overflow or underflow; or if
        ``method``, ``tol`` or ``max_iter`` is out of range.

    KeyboardInterrupt
        Where the fit is interrupted; its attribute ``best`` is an ``OptimizeResult`` with ``x`` and
        ``fun`` after the last step, or None before the first.

    Warns
    -----
    ConvergenceWarning
        If the minimum was not reached, unless the callback ended the fit. The result says so too.

    Notes
    -----
    'auto' starts from least squares, which one pass over X gives; each of Newton's steps takes
    another. Half a million rows of 40 columns with a tenth of outliers take seven passes in all,
    six where X is read block by block.

    Absolute error (and ``beta = 0``) has no curvature. 'auto' minimises it exactly by SciPy's
    linear programming where X has at most 200,000 elements and there is no penalty, otherwise
    through smooth L1 losses of shrinking thresholds: to ``tol`` of the value, without what far
    outliers add to it, or, without a penalty, as far as four residuals for each coefficient lie
    within. The mean is off by at most half of the last one then. From there a linear program of
    the rows that are near leads to the exact minimum, of rows that are not on a GPU or Dask's and
    up to some 400 coefficients. Where it was not looked for or not reached, ``message`` names the
    last threshold.

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
    result = fitted(
        X,
        y,
        loss,
        weight=weight,
        l2=l2,
        fit_intercept=fit_intercept,
        method=method,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        device=device,
        memory_limit=memory_limit,
        progress=progress,
    )
    if not result.success and not result.stopped:
        warnings.warn(
            f"the fit has not reached the minimum: {result.message}",
            ConvergenceWarning,
            stacklevel=caller_level(),
        )
    return result


def fitted(
    X: Any,
    y: Any,
    loss: Loss | None,
    *,
    weight: Any,
    l2: float,
    fit_intercept: bool,
    method: str,
    tol: float,
    max_iter: int,
    callback: Callback | None,
    device: str | None = None,
    memory_limit: int = MEMORY_LIMIT,
    progress: bool | Watch = False,
) -> "OptimizeResult":
    """Fit without a warning, see :func:`fit`."""
    loss = SmoothL1Loss() if loss is None else loss
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a fastloss.Loss, got {loss!r}")
    _check(method, tol, max_iter, callback)
    steps = Steps(max_iter, _reporter(callback))
    try:
        import_whole("scipy.optimize")
        squares = LinearObjective(
            X,
            y,
            MSELoss(reduction=loss.reduction),
            weight=weight,
            l2=l2,
            fit_intercept=fit_intercept,
            device=device,
            memory_limit=memory_limit,
        )
        with watching(progress) as squares.model.watch:
            return ways.minimise(squares, loss, method, tol, steps)
    except KeyboardInterrupt as interrupt:
        interrupt.best = None if steps.last is None else _state(*steps.last)  # type: ignore[attr-defined]
        raise


def _reporter(callback: Callback | None) -> Callable[[Vector, float], Any]:
    if callback is None:
        return lambda w, value: None
    return lambda w, value: callback(_state(w.copy(), value))


def _state(w: Vector, value: float) -> "OptimizeResult":
    from scipy.optimize import OptimizeResult

    return OptimizeResult(x=w, fun=value)


def _check(method: str, tol: float, max_iter: int, callback: object) -> None:
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable or None, got {callback!r}")
    names = ["auto", *by_scipy.METHODS]
    if not isinstance(method, str) or method not in names:
        raise ValueError(f"method must be one of {', '.join(names)}, got {method!r}")
    tolerance = as_real("tol", tol)
    if tolerance.ndim or not 0 <= tolerance < np.inf:
        raise ValueError(f"tol must be a finite number of at least 0, got {tol!r}")
    if isinstance(max_iter, bool) or not isinstance(max_iter, int | np.integer):
        raise TypeError(f"max_iter must be an integer, got {max_iter!r}")
    if max_iter < 1:
        raise ValueError(f"max_iter must be at least 1, got {max_iter!r}")
