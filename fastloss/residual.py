"""Objectives for ``scipy.optimize`` on a model of one's own."""

from collections.abc import Callable
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastloss.loss import Loss, check_reduced
from fastloss.model import check_total_weight
from fastloss.place import as_real
from fastloss.typing import Array, Vector


class ResidualObjective:
    """The loss of a model's predictions as a function of its parameters.

    ``obj(w)`` is ``loss(predict(w), target, weight)`` and its gradient, ``J(w).T @ slopes``, for
    the Jacobian J of the predictions.

    Parameters
    ----------
    predict : callable
        ``predict(w)`` gives the predictions, of the target's shape.
    vjp : callable
        ``vjp(w, u)`` gives ``J(w).T @ u``, of the shape of ``w``, for ``u`` of the target's shape.
        It is called after ``predict`` at the same ``w``, so that both may share work.
    target : array_like of real numbers
        What is to be predicted, of any shape.
    loss : Loss
        Reduction 'mean' or 'sum'.
    weight : array_like, optional
        Broadcasts to the target's shape. Not negative, with a positive sum.

    Raises
    ------
    TypeError
        If ``predict`` or ``vjp`` is not callable, ``loss`` no loss, or an array does not hold real
        numbers.
    ValueError
        If the reduction is 'none', or a weight is not as said above. Calling the objective raises
        it too, where the predictions do not have the target's shape, or the gradient not that of
        ``w``.

    Examples
    --------
    A decay whose rate and size are sought:

    >>> import numpy as np
    >>> from scipy.optimize import minimize
    >>> import fastloss as fl
    >>> t = np.linspace(0, 4, 50)
    >>> y = 3 * np.exp(-0.7 * t)
    >>> y[::10] += 5  # outliers
    >>> def predict(w):
    ...     return w[0] * np.exp(-w[1] * t)
    >>> def vjp(w, u):
    ...     e = np.exp(-w[1] * t)
    ...     return np.array([u @ e, -w[0] * (u @ (t * e))])
    >>> obj = fl.optimize.ResidualObjective(predict, vjp, y, fl.SmoothL1Loss(beta=0.01))
    >>> minimize(obj, [1.0, 1.0], jac=True, method="BFGS").x.round(2)
    array([3. , 0.7])
    """

    def __init__(
        self,
        predict: Callable[[Vector], Any],
        vjp: Callable[[Vector, Array], Any],
        target: ArrayLike,
        loss: Loss,
        *,
        weight: ArrayLike | None = None,
    ) -> None:
        for name, function in (("predict", predict), ("vjp", vjp)):
            if not callable(function):
                raise TypeError(f"{name} must be callable, got {function!r}")
        check_reduced(loss)
        self.predict = predict
        self.vjp = vjp
        self.target = as_real("target", target)
        self.loss = loss
        self.weight = None if weight is None else as_real("weight", weight)
        if self.weight is not None:
            least = float(self.weight.min()) if self.weight.size else 0.0
            if not least >= 0:
                raise ValueError(f"weight must not be negative or NaN, got {least}")
            check_total_weight(self._sum_of_weights())

    def _sum_of_weights(self) -> float:
        assert self.weight is not None
        try:
            whole = np.broadcast_to(self.weight, self.target.shape)
        except ValueError:
            raise ValueError(
                f"weight must broadcast to the target's shape {self.target.shape}, got "
                f"{self.weight.shape}"
            ) from None
        with np.errstate(over="ignore"):  # an infinite sum is refused
            return float(whole.sum(dtype=np.float64))

    def __call__(self, w: ArrayLike) -> tuple[float, Vector]:
        """Give value and gradient at ``w``, for ``minimize(obj, w0, jac=True)``.

        Parameters
        ----------
        w : array_like of real numbers

        Returns
        -------
        value : float
        gradient : ndarray of float64, of the shape of ``w``
            A new array each time. Where the value is NaN, so is every entry: L-BFGS-B would take a
            gradient that is finite for success.
        """
        w = np.array(as_real("w", w), np.float64)
        predictions = as_real("what predict gives", self.predict(w))
        if predictions.shape != self.target.shape:
            raise ValueError(
                f"predict must give the target's shape {self.target.shape}, got {predictions.shape}"
            )
        value, slopes = self.loss.value_and_grad(predictions, self.target, self.weight)
        gradient = np.array(as_real("what vjp gives", self.vjp(w, slopes)), np.float64, order="C")
        if gradient.shape != w.shape:
            raise ValueError(f"vjp must give the shape {w.shape} of w, got {gradient.shape}")
        number = float(value)
        if isnan(number):
            gradient[...] = number
        return number, gradient
