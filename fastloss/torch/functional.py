"""The losses as functions, with the names and arguments of ``torch.nn.functional``."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from fastloss import losses
from fastloss.formulas import Huber
from fastloss.functional import made
from fastloss.loss import Loss
from fastloss.reduction import parse_with_legacy
from fastloss.torch import autograd
from fastloss.torch.tensors import memory_order, operands


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
    *,
    weight: Tensor | None = None,
) -> Tensor:
    """Smooth L1 loss, see :class:`fastloss.torch.SmoothL1Loss`.

    Parameters
    ----------
    input, target : Tensor
        Predictions and observations, of any shape and on one device. They broadcast, with torch's
        warning. Their dtypes promote as torch's do; one of them must be floating-point.
    size_average, reduce : bool, optional
        Deprecated; they override ``reduction``.
    reduction : {'mean', 'sum', 'none'}
        What to give: a tensor without axes, or one of the residual's shape.
    beta : float
        The threshold, at least 0.
    weight : Tensor, optional
        Broadcasts to the residual's shape; the mean is divided by the sum of the weights.

    Returns
    -------
    Tensor
        On the input's device. Where gradients are enabled they go to input, target and weight, and
        can be differentiated once more.

    Raises
    ------
    TypeError
        If an argument is not a dense tensor of real numbers, or all are integers.
    ValueError
        If shapes or devices do not fit, or the threshold or reduction is out of its domain.

    Examples
    --------
    >>> import torch
    >>> import fastloss.torch
    >>> fastloss.torch.smooth_l1_loss(torch.tensor([3.0, 0.5]), torch.zeros(2))
    tensor(1.3125)
    """
    reduction = parse_with_legacy(size_average, reduce, reduction)
    loss = partial(made, losses.SmoothL1Loss, reduction=reduction, beta=beta)
    return evaluate(loss, input, target, weight)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Huber loss, see :class:`fastloss.torch.HuberLoss`.

    Parameters
    ----------
    input, target, reduction, weight
        As :func:`smooth_l1_loss`. The result has the input's dtype, as torch's Huber loss does.
    delta : float
        The threshold, above 0.

    Returns
    -------
    Tensor

    Raises
    ------
    TypeError, ValueError
        As :func:`smooth_l1_loss`.

    Notes
    -----
    torch divides the weighted mean of this loss by the number of elements, and those of
    ``l1_loss`` and ``mse_loss`` by the sum of the weights; here it is their sum for every loss.

    Examples
    --------
    >>> import torch
    >>> import fastloss.torch
    >>> fastloss.torch.huber_loss(torch.tensor([3.0, 0.5]), torch.zeros(2), "sum", 2.0)
    tensor(4.1250)
    """
    loss = partial(made, losses.HuberLoss, reduction=reduction, delta=delta)
    return evaluate(loss, input, target, weight)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Absolute error, see :class:`fastloss.torch.L1Loss`.

    Parameters
    ----------
    input, target, size_average, reduce, reduction, weight
        As :func:`smooth_l1_loss`.

    Returns
    -------
    Tensor

    Raises
    ------
    TypeError, ValueError
        As :func:`smooth_l1_loss`.

    Examples
    --------
    >>> import torch
    >>> import fastloss.torch
    >>> weight = torch.tensor([1.0, 3.0])
    >>> fastloss.torch.l1_loss(torch.tensor([3.0, 0.5]), torch.zeros(2), weight=weight)
    tensor(1.1250)
    """
    reduction = parse_with_legacy(size_average, reduce, reduction)
    loss = partial(made, losses.L1Loss, reduction=reduction)
    return evaluate(loss, input, target, weight)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Squared error, see :class:`fastloss.torch.MSELoss`.

    Parameters
    ----------
    input, target, size_average, reduce, reduction, weight
        As :func:`smooth_l1_loss`.

    Returns
    -------
    Tensor

    Raises
    ------
    TypeError, ValueError
        As :func:`smooth_l1_loss`.

    Examples
    --------
    >>> import torch
    >>> import fastloss.torch
    >>> fastloss.torch.mse_loss(torch.tensor([3.0, 0.5]), torch.zeros(2), reduction="none")
    tensor([9.0000, 0.2500])
    """
    reduction = parse_with_legacy(size_average, reduce, reduction)
    loss = partial(made, losses.MSELoss, reduction=reduction)
    return evaluate(loss, input, target, weight)


def evaluate(
    loss: Callable[[], Loss], input: Tensor, target: Tensor, weight: Tensor | None
) -> Tensor:
    """Give a loss, made when it is needed, of tensors as the caller has them."""
    if torch.compiler.is_compiling():
        # The kernels are compiled already, so a graph ends here. A decorator would import torch's
        # compiler together with this package, which takes 1.4 s.
        return torch.compiler.disable(_evaluate)(loss, input, target, weight)
    return _evaluate(loss, input, target, weight)


def _evaluate(
    loss: Callable[[], Loss], input: Tensor, target: Tensor, weight: Tensor | None
) -> Tensor:
    ready = loss()
    # torch's Huber loss has its input's dtype, the others promote.
    x, y, w, result = operands(input, target, weight, type(ready.formula) is Huber)
    if not x.numel() and ready.reduction == "mean":
        return (x - y).mean().to(result)  # NaN, without NumPy's warning, as torch has it
    order = memory_order(x) if ready.reduction == "none" else None
    if order is None:
        return autograd.evaluate(ready, x, y, w).to(result)
    x, y = x.permute(order), y.permute(order)
    value = autograd.evaluate(ready, x, y, None if w is None else w.permute(order)).to(result)
    return value.permute(sorted(range(len(order)), key=order.__getitem__))
