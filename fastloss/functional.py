"""The losses as functions, with the names of ``torch.nn.functional``."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from numpy.typing import ArrayLike

from fastloss.loss import Loss, Value
from fastloss.losses import HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from fastloss.typing import Array


def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: str = "mean",
    beta: float = 1.0,
    weight: ArrayLike | None = None,
    out: Array | None = None,
    device: str | None = None,
) -> Value:
    """Smooth L1 loss, see :class:`fastloss.SmoothL1Loss`.

    Parameters
    ----------
    input, target : array_like of real numbers
        Predictions and observations; they broadcast.
    reduction : {'mean', 'sum', 'none'}
        What to give: one number, or every element.
    beta : float
        The threshold, at least 0.
    weight : array_like, optional
        Broadcasts to the residual's shape.
    out : ndarray, optional
        Takes the result and is returned.
    device : {None, 'cpu', 'cuda', 'cuda:N'}
        Where to compute, see :class:`fastloss.Loss`.

    Returns
    -------
    float or ndarray

    Raises
    ------
    TypeError, ValueError
        As :class:`fastloss.SmoothL1Loss` and calling it.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.smooth_l1_loss([1.4, 2.1, 2.9], [1.5, 2.0, 3.0]), 12)
    0.005
    """
    return made(SmoothL1Loss, reduction=reduction, beta=beta)(
        input, target, weight, out, device=device
    )


def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: ArrayLike | None = None,
    out: Array | None = None,
    device: str | None = None,
) -> Value:
    """Huber loss, see :class:`fastloss.HuberLoss`.

    Parameters
    ----------
    input, target, reduction, weight, out, device
        As :func:`smooth_l1_loss`.
    delta : float
        The threshold, above 0.

    Returns
    -------
    float or ndarray

    Raises
    ------
    TypeError, ValueError
        As :class:`fastloss.HuberLoss` and calling it.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.huber_loss([3.0, 0.5], [0.0, 0.0], reduction="sum", delta=2.0)
    4.125
    """
    return made(HuberLoss, reduction=reduction, delta=delta)(
        input, target, weight, out, device=device
    )


def l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
    out: Array | None = None,
    device: str | None = None,
) -> Value:
    """Absolute error, see :class:`fastloss.L1Loss`.

    Parameters
    ----------
    input, target, reduction, weight, out, device
        As :func:`smooth_l1_loss`.

    Returns
    -------
    float or ndarray

    Raises
    ------
    TypeError, ValueError
        As :class:`fastloss.L1Loss` and calling it.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.l1_loss([3.0, -1.0], [0.0, 0.0], weight=[1.0, 3.0])
    1.5
    """
    return made(L1Loss, reduction=reduction)(input, target, weight, out, device=device)


def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
    out: Array | None = None,
    device: str | None = None,
) -> Value:
    """Squared error, see :class:`fastloss.MSELoss`.

    Parameters
    ----------
    input, target, reduction, weight, out, device
        As :func:`smooth_l1_loss`.

    Returns
    -------
    float or ndarray

    Raises
    ------
    TypeError, ValueError
        As :class:`fastloss.MSELoss` and calling it.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.mse_loss([3.0, -1.0], [0.0, 0.0], reduction="none")
    array([9., 1.])
    """
    return made(MSELoss, reduction=reduction)(input, target, weight, out, device=device)


def made(cls: Callable[..., Loss], **arguments: Any) -> Loss:
    """Give the loss of this class and these arguments, made once."""
    try:
        return _cached(cls, **arguments)
    except TypeError:  # an argument that cannot be hashed: let the class say what is wrong
        return cls(**arguments)


# Typed: True and 1.0 are equal, and so would share a loss.
@lru_cache(maxsize=256, typed=True)
def _cached(cls: Callable[..., Loss], **arguments: Any) -> Loss:
    return cls(**arguments)
