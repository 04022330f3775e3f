"""The losses as modules, under the names of ``torch.nn``."""

import torch
from torch import Tensor

from fastloss import losses
from fastloss.formulas import Formula
from fastloss.loss import Loss as ArrayLoss
from fastloss.reduction import parse, parse_with_legacy
from fastloss.torch import functional


class Loss(torch.nn.Module):
    """A loss as a module from a formula of one residual, your own included.

    Parameters
    ----------
    formula : Formula
        A ``NamedTuple`` of numbers with the methods ``value(r)``, ``grad(r)`` and ``hess(r)``, see
        :class:`fastloss.Loss`.
    reduction : {'mean', 'sum', 'none'}
        With weights, the mean is ``sum(weight * loss) / sum(weight)``.

    Raises
    ------
    TypeError
        If the formula is not a ``NamedTuple`` with the three methods.
    ValueError
        If the reduction has another name, or the formula's own ``check()`` refuses a parameter.

    Notes
    -----
    The module is called with

    input, target : Tensor
        Of any shape, on one device; they broadcast, with torch's warning.
    weight : Tensor, optional
        Broadcasts to the residual's shape.

    Gradients go to all three, and can be differentiated once more. Half precision is computed in
    float32 and rounded at the end.

    Examples
    --------
    >>> import torch
    >>> import fastloss.torch
    >>> from fastloss.formulas import Huber
    >>> loss = fastloss.torch.Loss(Huber(delta=2.0), reduction="sum")
    >>> prediction = torch.tensor([3.0, 0.5], requires_grad=True)
    >>> loss(prediction, torch.zeros(2)).backward()
    >>> prediction.grad
    tensor([2.0000, 0.5000])
    """

    def __init__(self, formula: Formula, reduction: str = "mean") -> None:
        super().__init__()
        self._loss = ArrayLoss(formula, reduction)
        _ = self._loss.formula  # refuses a threshold that is to be found

    @property
    def formula(self) -> Formula:
        """The formula of one residual."""
        return self._loss.formula

    @property
    def reduction(self) -> str:
        """'none', 'mean' or 'sum'."""
        return self._loss.reduction

    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Give the loss: a tensor without axes, or of the residual's shape if nothing is reduced.

        Raises
        ------
        TypeError, ValueError
            As :func:`fastloss.torch.smooth_l1_loss`.
        """
        return functional.evaluate(lambda: self._loss, input, target, weight)

    def extra_repr(self) -> str:
        """Give the arguments that make this loss."""
        return f"{self.formula!r}, reduction={self.reduction!r}"


class SmoothL1Loss(torch.nn.SmoothL1Loss):
    """Smooth L1 loss, in the place of ``torch.nn.SmoothL1Loss``.

    ``r**2 / (2 beta)`` where ``|r| < beta``, ``|r| - beta / 2`` elsewhere, for the residual
    ``r = input - target``.

    Parameters
    ----------
    size_average, reduce : bool, optional
        Deprecated; they override ``reduction``.
    reduction : {'mean', 'sum', 'none'}
        See :class:`Loss`, also for what the module is called with.
    beta : float
        The threshold, in units of the residual, at least 0 (the L1 loss).

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
    >>> import torch
    >>> import fastloss.torch
    >>> prediction = torch.tensor([3.0, 0.5], requires_grad=True)
    >>> loss = fastloss.torch.SmoothL1Loss()(prediction, torch.zeros(2))
    >>> loss.backward()
    >>> loss.item(), prediction.grad
    (1.3125, tensor([0.5000, 0.2500]))
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        reduction = parse_with_legacy(size_average, reduce, reduction).value
        _ = losses.SmoothL1Loss(reduction=reduction, beta=beta).formula  # refuses bad arguments
        super().__init__(reduction=reduction, beta=beta)

    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Give the loss, see :func:`fastloss.torch.smooth_l1_loss`."""
        return functional.smooth_l1_loss(
            input, target, reduction=self.reduction, beta=self.beta, weight=weight
        )


class HuberLoss(torch.nn.HuberLoss):
    """Huber loss, in the place of ``torch.nn.HuberLoss``.

    ``r**2 / 2`` where ``|r| <= delta``, ``delta (|r| - delta / 2)`` elsewhere, for the residual
    ``r = input - target``.

    Parameters
    ----------
    reduction : {'mean', 'sum', 'none'}
        See :class:`Loss`, also for what the module is called with.
    delta : float
        The threshold, in units of the residual, above 0.

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
    >>> import torch
    >>> import fastloss.torch
    >>> loss = fastloss.torch.HuberLoss(reduction="sum", delta=2.0)
    >>> loss(torch.tensor([3.0, 0.5]), torch.zeros(2))
    tensor(4.1250)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        reduction = parse(reduction).value
        _ = losses.HuberLoss(reduction=reduction, delta=delta).formula  # refuses bad arguments
        super().__init__(reduction=reduction, delta=delta)

    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Give the loss, see :func:`fastloss.torch.huber_loss`."""
        return functional.huber_loss(input, target, self.reduction, self.delta, weight)


class L1Loss(torch.nn.L1Loss):
    """Absolute error ``|input - target|``, in the place of ``torch.nn.L1Loss``.

    Parameters
    ----------
    size_average, reduce : bool, optional
        Deprecated; they override ``reduction``.
    reduction : {'mean', 'sum', 'none'}
        See :class:`Loss`, also for what the module is called with.

    Raises
    ------
    TypeError, ValueError
        As :class:`SmoothL1Loss`.

    Examples
    --------
    >>> import torch
    >>> import fastloss.torch
    >>> fastloss.torch.L1Loss()(torch.tensor([3.0, -1.0]), torch.zeros(2))
    tensor(2.)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=parse_with_legacy(size_average, reduce, reduction).value)

    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Give the loss, see :func:`fastloss.torch.l1_loss`."""
        return functional.l1_loss(input, target, reduction=self.reduction, weight=weight)


class MSELoss(torch.nn.MSELoss):
    """Squared error ``(input - target)**2``, in the place of ``torch.nn.MSELoss``.

    Parameters
    ----------
    size_average, reduce : bool, optional
        Deprecated; they override ``reduction``.
    reduction : {'mean', 'sum', 'none'}
        See :class:`Loss`, also for what the module is called with.

    Raises
    ------
    TypeError, ValueError
        As :class:`SmoothL1Loss`.

    Examples
    --------
    >>> import torch
    >>> import fastloss.torch
    >>> fastloss.torch.MSELoss()(torch.tensor([3.0, -1.0]), torch.zeros(2))
    tensor(5.)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=parse_with_legacy(size_average, reduce, reduction).value)

    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Give the loss, see :func:`fastloss.torch.mse_loss`."""
        return functional.mse_loss(input, target, reduction=self.reduction, weight=weight)
