"""Objectives for ``scipy.optimize``: a loss on the predictions of a linear model."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastloss import dispatch
from fastloss.loss import Loss
from fastloss.losses import SmoothL1Loss
from fastloss.place import as_real
from fastloss.reduction import Reduction
from fastloss.typing import Array, Vector

# Bytes of rows that are multiplied out at once, so that no copy of X is made.
HESSIAN_BYTES = 1 << 23


class LinearObjective:
    """The loss of a linear model as a function of its coefficients.

    ``obj(w)`` is ``loss(X @ w, y, weight) + l2 / 2 * ||w||**2`` and its gradient, from one pass
    over X. With an intercept, it is the last entry of ``w`` and left out of the penalty.

    Parameters
    ----------
    X : array_like of real numbers, shape (n, p)
        Read where it lies if it is float32 or float64, in C or Fortran order; copied to float64
        otherwise. Not changed, and not to be changed while the objective is in use.
    y : array_like of real numbers, shape (n,)
        What is to be predicted.
    loss : Loss, optional
        Reduction 'mean' or 'sum'; default ``SmoothL1Loss()``.
    weight : array_like, shape (n,), optional
        Not negative, with a positive sum.
    l2 : float
        Strength of the penalty, at least 0.
    fit_intercept : bool
        Whether ``w`` has an intercept as its last entry.

    Raises
    ------
    TypeError
        If ``X``, ``y``, ``weight`` or ``l2`` is not made of real numbers, or ``loss`` not a Loss.
    ValueError
        If a shape, a weight, ``l2`` or the reduction is not as said above.

    Notes
    -----
    Arithmetic and results are in float64 whatever X's precision. The result has the same bits for
    any number of threads. Where X or y holds NaN, value and gradient are NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import minimize
    >>> import fastloss as fl
    >>> X = np.arange(9.0)[:, None]
    >>> y = 1 + 2 * X[:, 0]
    >>> y[3] = 70  # an outlier
    >>> obj = fl.LinearObjective(X, y, fl.SmoothL1Loss(beta=0.01), fit_intercept=True)
    >>> result = minimize(obj, np.zeros(2), jac=True, method="BFGS")
    >>> result.x.round(2)
    array([2., 1.])
    """

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        loss: Loss | None = None,
        *,
        weight: ArrayLike | None = None,
        l2: float = 0.0,
        fit_intercept: bool = False,
    ) -> None:
        loss = SmoothL1Loss() if loss is None else loss
        _check_loss(loss)
        if not isinstance(fit_intercept, bool | np.bool_):
            raise TypeError(f"fit_intercept must be a bool, got {fit_intercept!r}")
        dispatch.linear(X, y, weight)  # refuses arrays that live elsewhere
        design = as_real("X", X)
        if design.ndim != 2:
            raise ValueError(f"X must have two dimensions, got the shape {design.shape}")
        if not design.shape[0]:
            raise ValueError(f"X must have at least one row, got the shape {design.shape}")
        n = design.shape[0]
        self.l2 = _penalty(l2)
        self.fit_intercept = bool(fit_intercept)
        self.y = _vector("y", y, n)
        self.weight = None if weight is None else _weights(weight, n)
        self.X = design
        self._attach()
        self._count = float(n) if self.weight is None else self._backend.total_of(self.weight)
        self._set_loss(loss)

    def _attach(self) -> None:
        self._backend = dispatch.linear(self.X, self.y, self.weight)
        self._design = self._backend.Design.of(self.X)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made from the rest."""
        return {k: v for k, v in vars(self).items() if k not in ("_backend", "_design")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make it again."""
        vars(self).update(state)
        self._attach()

    def _set_loss(self, loss: Loss) -> None:
        _check_loss(loss)
        self.loss = loss
        self._divisor = 1.0 if loss.reduction == Reduction.SUM else self._count

    def with_loss(self, loss: Loss) -> "LinearObjective":
        """Give an objective on the same data, which is neither copied nor checked again."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other._set_loss(loss)
        return other

    @property
    def size(self) -> int:
        """The length of ``w``."""
        return int(self.X.shape[1]) + self.fit_intercept

    def __call__(self, w: ArrayLike) -> tuple[float, Vector]:
        """Give value and gradient at ``w``, for ``minimize(obj, w0, jac=True)``.

        Parameters
        ----------
        w : array_like of real numbers, shape (p,) or (p + 1,)

        Returns
        -------
        value : float
        gradient : ndarray of float64, of the shape of ``w``
            A new array each time, which SciPy's solvers rely on.

        Raises
        ------
        TypeError, ValueError
            If ``w`` does not hold real numbers, or as many as there are coefficients.
        """
        w = self._coefficients("w", w)
        total, gradient = self._evaluate(w)
        penalised = self._penalised(w)
        value = total / self._divisor
        if self.l2:  # 0 times the norm would be NaN where that overflows
            value += 0.5 * self.l2 * float(penalised @ penalised)
            gradient += self.l2 * penalised
        return value, gradient

    def value(self, w: ArrayLike) -> float:
        """Give the value at ``w`` alone; see calling the objective."""
        return self(w)[0]

    def grad(self, w: ArrayLike) -> Vector:
        """Give the gradient at ``w`` alone; see calling the objective."""
        return self(w)[1]

    def hessp(self, w: ArrayLike, v: ArrayLike) -> Vector:
        """Give the Hessian at ``w`` times ``v``, for ``minimize(..., hessp=obj.hessp)``.

        Parameters
        ----------
        w, v : array_like of real numbers, shape (p,) or (p + 1,)

        Returns
        -------
        ndarray of float64, of the shape of ``w``

        Raises
        ------
        TypeError, ValueError
            As calling the objective.
        """
        w, v = self._coefficients("w", w), self._coefficients("v", v)
        product = self._evaluate(w, v)[1]
        product += self.l2 * self._penalised(v)
        return product

    def hess(self, w: ArrayLike) -> Array:
        """Give the Hessian at ``w``, for ``minimize(..., hess=obj.hess)``.

        Parameters
        ----------
        w : array_like of real numbers, shape (p,) or (p + 1,)

        Returns
        -------
        ndarray of float64, shape (p, p) or (p + 1, p + 1)

        Raises
        ------
        TypeError, ValueError
            As calling the objective.
        """
        return self.gram(w, lambda residual, grad, hess: hess)

    def gram(self, w: ArrayLike, curvature: Any, means: Vector | None = None) -> Array:
        """Give ``X.T @ D @ X`` plus the penalty, for another curvature than the loss's own.

        Parameters
        ----------
        w : array_like of real numbers, shape (p,) or (p + 1,)
        curvature : callable
            ``curvature(residual, grad, hess)`` gives the diagonal of D from the residuals of some
            rows and the loss's derivatives there, without weights.
        means : ndarray of float64, optional
            Subtracted from X's columns where they are multiplied out.

        Returns
        -------
        ndarray of float64, shape (p, p) or (p + 1, p + 1)
        """
        w = self._coefficients("w", w)
        n, p = self.X.shape
        elementwise = Loss(self.loss.formula, "none")
        total = np.zeros((self.size, self.size))
        rows = max(1, HESSIAN_BYTES // (8 * max(p, 1)))
        for low in range(0, n, rows):
            block = np.asarray(self.X[low : low + rows], np.float64)
            target = self.y[low : low + rows]
            predictions = block @ w[:p]
            if self.fit_intercept:
                predictions += w[p]
            grad, hess = elementwise.grad_and_hess(predictions, target)
            diagonal = np.asarray(curvature(predictions - target, grad, hess), np.float64)
            if self.weight is not None:
                diagonal = diagonal * self.weight[low : low + rows]
            if means is not None:
                block = block - means[:p]
            curved = np.flatnonzero(diagonal)  # rows beyond the threshold have no curvature
            if curved.size < block.shape[0]:
                block, diagonal = block[curved], diagonal[curved]
            if self.fit_intercept:
                block = np.column_stack((block, np.ones(curved.size)))
            total += block.T @ (diagonal[:, None] * block)
        total /= self._divisor
        total[np.diag_indices(p)] += self.l2
        return total

    def residuals(self, w: ArrayLike) -> Vector:
        """Give ``X @ w - y``, with the intercept if there is one.

        Parameters
        ----------
        w : array_like of real numbers, shape (p,) or (p + 1,)

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        w = self._coefficients("w", w)
        n, p = self.X.shape
        residuals = np.empty(n)
        rows = max(1, HESSIAN_BYTES // (8 * max(p, 1)))
        for low in range(0, n, rows):
            high = low + rows
            np.matmul(self.X[low:high], w[:p], out=residuals[low:high])
        residuals -= self.y
        if self.fit_intercept:
            residuals += w[p]
        return residuals

    def _evaluate(self, w: Vector, direction: Vector | None = None) -> tuple[float, Vector]:
        total, gradient = self._backend.evaluate(
            self.loss.formula,
            self._design,
            self.y,
            self.weight,
            self._with_intercept(w),
            1.0 / self._divisor,
            None if direction is None else self._with_intercept(direction),
        )
        return total, gradient[: self.size]

    def _with_intercept(self, w: Vector) -> Vector:
        return w if self.fit_intercept else np.append(w, 0.0)

    def _penalised(self, w: Vector) -> Vector:
        if not self.fit_intercept:
            return w
        penalised = w.copy()
        penalised[-1] = 0.0
        return penalised

    def _coefficients(self, name: str, w: ArrayLike) -> Vector:
        vector = as_real(name, w)
        if vector.shape != (self.size,):
            what = "the columns of X and the intercept" if self.fit_intercept else "X's columns"
            raise ValueError(
                f"{name} must have the shape ({self.size},), for {what}, got {vector.shape}"
            )
        return np.ascontiguousarray(vector, np.float64)


def _check_loss(loss: object) -> None:
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a fastloss.Loss, got {loss!r}")
    if loss.reduction == Reduction.NONE:
        raise ValueError("loss must have the reduction 'mean' or 'sum', got 'none'")


def _vector(name: str, value: ArrayLike, n: int) -> Vector:
    vector = as_real(name, value)
    if vector.shape != (n,):
        raise ValueError(
            f"{name} must have the shape ({n},), one for each row of X, got {vector.shape}"
        )
    dtype = vector.dtype if vector.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    return np.require(vector, dtype.newbyteorder("="), ["C", "A", "W"])


def _weights(value: ArrayLike, n: int) -> Vector:
    weight = _vector("weight", value, n)
    low = weight.min()
    if not low >= 0:
        raise ValueError(f"weight must not be negative or NaN, got {low}")
    if not 0 < weight.sum(dtype=np.float64) < np.inf:
        raise ValueError(
            f"weight must have a positive finite sum, got {weight.sum(dtype=np.float64)}"
        )
    return weight


def _penalty(l2: float) -> float:
    array = as_real("l2", l2)
    if array.ndim:
        raise TypeError(f"l2 must be a number, got an array of shape {array.shape}")
    if not 0 <= array < np.inf:
        raise ValueError(f"l2 must be at least 0 and finite, got {l2!r}")
    return float(array)
