"""The losses as functions that autograd can differentiate, twice.

The forward pass computes value and gradient in one pass over memory and hands the gradient to the
backward pass, which scales it in place. That is safe because nobody else has seen that memory and
it is given away once: a second backward pass over the same graph computes the gradient again.
"""

from typing import Any

import torch
from torch import Tensor

from fastloss.loss import Loss
from fastloss.torch.memory import kept


class Evaluate(torch.autograd.Function):
    """A loss of tensors of one shape, float32 or float64, on one device."""

    @staticmethod
    def forward(
        ctx: Any,
        loss: Loss,
        differentiable: bool,
        input: Tensor,
        target: Tensor,
        weight: Tensor | None,
    ) -> Tensor:
        """Give the value; keep the gradient where a backward pass may come."""
        ctx.loss = loss
        ctx.save_for_backward(input, target, weight)
        ctx.gradients = []
        if differentiable and any(ctx.needs_input_grad[2:4]):
            value, gradient = _value_and_grad(loss, input, target, weight)
            ctx.gradients.append(gradient)
            return value
        return _value(loss, input, target, weight)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of input, target and weight, times ``grad_output``."""
        _, _, of_input, of_target, of_weight = ctx.needs_input_grad
        if torch.is_grad_enabled():
            slope = _slope(ctx, grad_output) if of_input or of_target else None
        else:
            slope = _taken(ctx, grad_output) if of_input or of_target else None
        gradients: list[Tensor | None] = [None, None, None]
        if slope is not None and of_input:
            gradients[0] = slope
            gradients[1] = -slope if of_target else None
        elif slope is not None:
            gradients[1] = -slope if torch.is_grad_enabled() else slope.neg_()
        if of_weight:
            gradients[2] = _gradient_of_weight(ctx, grad_output)
        return None, None, *gradients


class Slope(torch.autograd.Function):
    """The derivative of the loss of every element times its share, differentiable once more.

    The share goes into the kernel: the derivative by itself may overflow.
    """

    @staticmethod
    def forward(
        ctx: Any, elementwise: Loss, input: Tensor, target: Tensor, share: Tensor
    ) -> Tensor:
        """Give the derivatives."""
        ctx.elementwise = elementwise
        ctx.save_for_backward(input, target, share)
        return _grad(elementwise, input, target, share.expand_as(input))

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Multiply by the curvature."""
        x, y, share = ctx.saved_tensors
        _, of_input, of_target, of_share = ctx.needs_input_grad
        # A slope is recorded for one of these two at least.
        product = Curvature.apply(ctx.elementwise, x, y) * share * grad_output
        of_shares = None
        if of_share:
            slope = Slope.apply(ctx.elementwise, x, y, torch.ones_like(share))
            of_shares = (slope * grad_output).sum_to_size(share.shape)
        return (
            None,
            product if of_input else None,
            -product if of_target else None,
            of_shares,
        )


class Curvature(torch.autograd.Function):
    """The second derivative of the loss of every element, which ends there."""

    @staticmethod
    def forward(ctx: Any, elementwise: Loss, input: Tensor, target: Tensor) -> Tensor:
        """Give the second derivatives."""
        return _hess(elementwise, input, target)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Refuse: formulas have no third derivative."""
        raise RuntimeError("the losses of fastloss.torch can be differentiated twice, not thrice")


def evaluate(loss: Loss, input: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Give the loss of tensors of one shape, float32 or float64, on one device.

    Every call goes through autograd's function, also one without a gradient: it refuses what has
    no rule here (forward mode, ``torch.func``), which plain arithmetic on the memory would ignore.
    """
    value: Tensor = Evaluate.apply(loss, torch.is_grad_enabled(), input, target, weight)
    return value


def _taken(ctx: Any, grad_output: Tensor) -> Tensor:
    """Give a gradient that nobody else holds, times ``grad_output``."""
    try:
        gradient: Tensor = ctx.gradients.pop()
    except IndexError:  # the graph was retained, and this is not its first backward pass
        gradient = _grad(ctx.loss, *ctx.saved_tensors)
    if _is_one(grad_output):
        return gradient
    return gradient.mul_(grad_output)


def _is_one(grad_output: Tensor) -> bool:
    """Whether a product can be left out; on a GPU, to ask would be to wait for it.

    The product would add 1.4 ms to 7 at 10,000,000 elements of float32.
    """
    return bool(grad_output.ndim == 0 and grad_output.is_cpu and grad_output.item() == 1)


def _slope(ctx: Any, grad_output: Tensor) -> Tensor:
    """Give the gradient by operations that autograd records."""
    x, y, weight = ctx.saved_tensors
    share = grad_output
    if ctx.loss.reduction == "mean":
        share = share / x.numel() if weight is None else share * (weight / weight.sum())
    elif weight is not None:
        share = share * weight
    slope: Tensor = Slope.apply(_elementwise(ctx.loss), x, y, share)
    return slope


def _gradient_of_weight(ctx: Any, grad_output: Tensor) -> Tensor:
    """Give the gradient of the weights, by operations that autograd records."""
    x, y, weight = ctx.saved_tensors
    values = evaluate(_elementwise(ctx.loss), x, y, None)
    if ctx.loss.reduction == "mean":
        values = (values - evaluate(ctx.loss, x, y, weight)) / weight.sum()
    return grad_output * values


def _elementwise(loss: Loss) -> Loss:
    return Loss(loss.formula, "none")


# The only places that call kernels.


def _value(loss: Loss, input: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    x, y, w = _memory(input, target, weight)
    if loss.reduction != "none" and input.is_cuda:  # a number would wait for the GPU
        return loss(x, y, w, out=_scalar(input))
    return _tensor(loss(x, y, w), input)


def _value_and_grad(
    loss: Loss, input: Tensor, target: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    x, y, w = _memory(input, target, weight)
    if loss.reduction != "none" and input.is_cuda:
        return loss.value_and_grad(x, y, w, total=_scalar(input))
    out = kept.like(input, target) if input.is_cpu else None
    value, gradient = loss.value_and_grad(x, y, w, out=None if out is None else out.numpy())
    return _tensor(value, input), _tensor(gradient, input) if out is None else out


def _grad(loss: Loss, input: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    return _tensor(loss.grad(*_memory(input, target, weight)), input)


def _hess(loss: Loss, input: Tensor, target: Tensor) -> Tensor:
    return _tensor(loss.grad_and_hess(*_memory(input, target))[1], input)


def _memory(*tensors: Tensor | None) -> tuple[Any, ...]:
    """Give what a loss reads: on the host, NumPy's view of the memory.

    A loss answers with an array of NumPy's then, which puts large ones in huge pages: writing
    10,000,000 fresh float32 takes 4 ms so, and 13 in memory from ``torch.empty``.
    """
    return tuple(
        None if t is None else t.numpy(force=True) if t.is_cpu else t.detach() for t in tensors
    )


def _scalar(like: Tensor) -> Tensor:
    return torch.empty((), dtype=like.dtype, device=like.device)


def _tensor(result: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(result, dtype=like.dtype, device=like.device)
