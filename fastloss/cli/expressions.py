"""The losses as the NumPy expressions that people write, which fastloss is timed against.

The thresholds of smooth L1 and Huber are those that the losses have by default.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from fastloss.typing import Array

THRESHOLD = 1.0


def smooth_l1_value(r: Array, a: Array) -> Array:
    """Give smooth L1 of residuals and of their absolute values."""
    value: Array = np.where(a < THRESHOLD, 0.5 * r**2 / THRESHOLD, a - 0.5 * THRESHOLD)
    return value


def smooth_l1_grad(r: Array, a: Array) -> Array:
    """Give its derivative."""
    grad: Array = np.where(a < THRESHOLD, r / THRESHOLD, np.sign(r))
    return grad


def _smooth_l1(r: Array) -> tuple[Array, Array]:
    a = np.abs(r)
    return smooth_l1_value(r, a), smooth_l1_grad(r, a)


def _huber(r: Array) -> tuple[Array, Array]:
    a = np.abs(r)
    value = np.where(a < THRESHOLD, 0.5 * r**2, THRESHOLD * (a - 0.5 * THRESHOLD))
    return value, np.clip(r, -THRESHOLD, THRESHOLD)


def _l1(r: Array) -> tuple[Array, Array]:
    return np.abs(r), np.sign(r)


def _mse(r: Array) -> tuple[Array, Array]:
    return r**2, 2 * r


ELEMENTS: Mapping[str, Callable[[Array], tuple[Array, Array]]] = MappingProxyType(
    {"SmoothL1Loss": _smooth_l1, "HuberLoss": _huber, "L1Loss": _l1, "MSELoss": _mse}
)
"""Value and derivative of every residual, by the name of the loss."""


def value_and_grad(name: str, x: Array, y: Array) -> tuple[float, Array]:
    """Give the mean of a loss and its gradient.

    Parameters
    ----------
    name : str
        A key of ``ELEMENTS``.
    x, y : ndarray
        Input and target, of one shape.

    Returns
    -------
    float, ndarray
    """
    value, grad = ELEMENTS[name](x - y)
    return value.mean(), grad / x.size
