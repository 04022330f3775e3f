"""The losses under the names, and with the arguments, of ``torch.nn``."""

from typing import Any, ClassVar, Literal, TypeAlias

from fastloss.definition import AUTO
from fastloss.formulas import L1, Huber, SmoothL1, SquaredError, number
from fastloss.loss import Loss
from fastloss.reduction import parse, parse_with_legacy

Threshold: TypeAlias = float | Literal["auto"]


class SmoothL1Loss(Loss):
    """Smooth L1 loss, with the arguments of ``torch.nn.SmoothL1Loss``.

    ``(r**2 / 2) / beta`` where ``|r| < beta``, ``|r| - beta / 2`` elsewhere, for the residual
    ``r = input - target``.

    Parameters
    ----------
    size_average, reduce : bool, optional
        Deprecated; they override ``reduction``.
    reduction : {'mean', 'sum', 'none'}
        See :class:`Loss`.
    beta : float or 'auto'
        The threshold, in units of the residual, at least 0 (the L1 loss). ``'auto'`` lets
        :func:`fastloss.fit` find it as 1.345 times the scale of the residuals.

    Raises
    ------
    TypeError
        If ``beta`` is not a number or ``size_average`` or ``reduce`` not a bool.
    ValueError
        If ``beta`` is negative or NaN, or the reduction has another name.

    Notes
    -----
    Source: Girshick, "Fast R-CNN", 2015.

    Examples
    --------
    >>> import fastloss as fl
    >>> loss = fl.SmoothL1Loss()
    >>> round(loss([1.4, 2.1, 2.9], [1.5, 2.0, 3.0]), 12)
    0.005
    >>> value, gradient = loss.value_and_grad([3.0, 0.5], [0.0, 0.0])
    >>> value, gradient
    (1.3125, array([0.5 , 0.25]))
    """

    __slots__ = ()

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: Threshold = 1.0,
    ) -> None:
        formula = SmoothL1(_number_or_auto("beta", beta))
        self._set(formula, parse_with_legacy(size_average, reduce, reduction))

    @property
    def beta(self) -> Threshold:
        """The threshold."""
        threshold: Threshold = _first(self._formula)
        return threshold

    def __repr__(self) -> str:
        """Give an expression that makes this loss."""
        return f"SmoothL1Loss(reduction={self.reduction!r}, beta={self.beta!r})"


class HuberLoss(Loss):
    """Huber loss, with the arguments of ``torch.nn.HuberLoss``.

    ``r**2 / 2`` where ``|r| <= delta``, ``delta (|r| - delta / 2)`` elsewhere: ``delta`` times the
    smooth L1 loss with ``beta = delta``.

    Parameters
    ----------
    reduction : {'mean', 'sum', 'none'}
        See :class:`Loss`.
    delta : float or 'auto'
        The threshold, in units of the residual, above 0. ``'auto'`` as for
        :class:`SmoothL1Loss`.

    Raises
    ------
    TypeError
        If ``delta`` is not a number.
    ValueError
        If ``delta`` is not positive, or the reduction has another name.

    Notes
    -----
    Source: Huber, "Robust Estimation of a Location Parameter", 1964.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.HuberLoss(reduction="sum", delta=2.0)([3.0, 0.5], [0.0, 0.0])
    4.125
    """

    __slots__ = ()

    def __init__(self, reduction: str = "mean", delta: Threshold = 1.0) -> None:
        self._set(Huber(_number_or_auto("delta", delta)), parse(reduction))

    @property
    def delta(self) -> Threshold:
        """The threshold."""
        threshold: Threshold = _first(self._formula)
        return threshold

    def __repr__(self) -> str:
        """Give an expression that makes this loss."""
        return f"HuberLoss(reduction={self.reduction!r}, delta={self.delta!r})"


class _Plain(Loss):
    """A loss without parameters, with torch's deprecated arguments."""

    __slots__ = ()

    _formula_class: ClassVar[type[Any]]

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self._set(self._formula_class(), parse_with_legacy(size_average, reduce, reduction))

    def __repr__(self) -> str:
        """Give an expression that makes this loss."""
        return f"{type(self).__name__}(reduction={self.reduction!r})"


class L1Loss(_Plain):
    """Absolute error ``|r|``, with the arguments of ``torch.nn.L1Loss``.

    Parameters
    ----------
    size_average, reduce : bool, optional
        Deprecated; they override ``reduction``.
    reduction : {'mean', 'sum', 'none'}
        See :class:`Loss`.

    Raises
    ------
    TypeError, ValueError
        As :class:`SmoothL1Loss`.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.L1Loss()([3.0, -1.0], [0.0, 0.0])
    2.0
    """

    __slots__ = ()

    _formula_class = L1


class MSELoss(_Plain):
    """Squared error ``r**2``, with the arguments of ``torch.nn.MSELoss``.

    Parameters
    ----------
    size_average, reduce : bool, optional
        Deprecated; they override ``reduction``.
    reduction : {'mean', 'sum', 'none'}
        See :class:`Loss`.

    Raises
    ------
    TypeError, ValueError
        As :class:`SmoothL1Loss`.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.MSELoss()([3.0, -1.0], [0.0, 0.0])
    5.0
    """

    __slots__ = ()

    _formula_class = SquaredError


def _first(formula: Any) -> Any:
    return formula[0]


def _number_or_auto(name: str, value: Any) -> Any:
    if isinstance(value, str) and value == AUTO:
        return AUTO
    if isinstance(value, str):
        raise TypeError(f"{name} must be a real number or 'auto', got {value!r}")
    number(name, value)
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} must be in the range of float64, got {value!r:.40}") from None
