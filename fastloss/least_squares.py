"""Losses in the form that ``scipy.optimize.least_squares`` takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastloss.loss import Loss
from fastloss.place import as_real
from fastloss.typing import Array

# Residuals at which a loss is asked whether it is the same on both sides of 0.
PROBES = np.array([1e-3, 0.1, 0.5, 1.0, 2.0, 10.0, 1e3])


def rho(loss: Loss) -> Callable[[ArrayLike], Array]:
    """Give a loss as ``scipy.optimize.least_squares(loss=...)`` takes it.

    SciPy minimises ``C**2 / 2 * sum(rho((f / C)**2))`` for residuals ``f`` and the ``f_scale`` C.
    With ``rho(z) = 2 * loss(sqrt(z))`` that is ``C**2 * sum(loss(f / C))``, so with the default
    ``f_scale=1`` it is the sum of the losses. ``HuberLoss()`` gives SciPy's ``'huber'``.

    Parameters
    ----------
    loss : Loss
        Symmetric in the residual. Its reduction does not matter: SciPy sums.

    Returns
    -------
    callable
        ``rho(z)`` gives a new float64 array of shape ``(3, *z.shape)``: rho and its first two
        derivatives with respect to z. Where z is 0, the first is the loss's curvature there and
        the second 0; SciPy multiplies the second by z. It can be pickled.

    Raises
    ------
    TypeError
        If ``loss`` is no loss.
    ValueError
        If it is not symmetric, or its threshold is ``'auto'``. The callable raises as the loss
        does, and ValueError for a negative z.

    Notes
    -----
    Source: Triggs et al., "Bundle Adjustment: A Modern Synthesis", 1999, section 4.3, for what
    SciPy does with the derivatives.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import least_squares
    >>> import fastloss as fl
    >>> x = np.arange(6.0)
    >>> y = 1 + 2 * x
    >>> y[2] = 50  # an outlier
    >>> result = least_squares(
    ...     lambda w: w[0] + w[1] * x - y, [0, 0], loss=fl.optimize.rho(fl.SmoothL1Loss(beta=0.1))
    ... )
    >>> result.x.round(1)
    array([1., 2.])
    """
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a fastloss.Loss, got {loss!r}")
    elements = Loss(loss.formula, "none")
    right, left = elements(PROBES, 0.0), elements(-PROBES, 0.0)
    if not np.array_equal(right, left):
        raise ValueError(f"loss must be symmetric: rho is a function of the square, got {loss!r}")

    return OfSquares(elements)


@dataclass(frozen=True)
class OfSquares:
    """A loss as a function of the square of the residual, with two derivatives; see :func:`rho`."""

    loss: Loss
    """Of single residuals."""

    def __call__(self, z: ArrayLike) -> Array:
        """Give rho and its derivatives with respect to z."""
        squares = as_real("z", z).astype(np.float64)
        if (squares < 0).any():
            raise ValueError(f"z must not be negative, got {squares.min()}")
        result = np.empty((3, *squares.shape))
        residuals = np.sqrt(squares)
        values: Any = result[0, ...]  # with the dots, an array even where z has no axes
        self.loss(residuals, 0.0, out=values)
        values *= 2
        grad, hess = self.loss.grad_and_hess(residuals, 0.0)
        zero = squares == 0
        square = np.where(zero, 1.0, squares)
        with np.errstate(over="ignore"):  # near 0 derivatives are infinite, far from it 0
            result[1] = np.where(zero, hess, grad / np.sqrt(square))
            result[2] = np.where(zero, 0.0, (hess - result[1]) / square / 2)
        return result
