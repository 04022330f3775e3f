"""What a caller may pass, and every error message about it.

Everything that changes a tensor here (conversion, broadcasting) is recorded by autograd, which so
converts and sums the gradients back. The functions of ``autograd.py`` see tensors of one shape,
dtype and device.
"""

import warnings
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from fastloss.arrays import caller_level

HALF = (torch.float16, torch.bfloat16)
NATIVE = (torch.float32, torch.float64)
WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class Operands(NamedTuple):
    """The tensors of one call, checked, converted and broadcast against each other."""

    input: Tensor
    target: Tensor
    weight: Tensor | None
    result: torch.dtype
    """The precision of the value: also float16 and bfloat16."""


def operands(
    input: Tensor, target: Tensor, weight: Tensor | None, of_input: bool = False
) -> Operands:
    """Check the three arguments of a loss, whose value has the input's dtype if ``of_input``.

    Raises
    ------
    TypeError
        If one of them is not a dense tensor of real numbers, or all hold integers.
    ValueError
        If their devices differ or have no kernels, or their shapes do not broadcast, the weight's
        to that of the other two.
    """
    if weight is None and _plain(input) and _plain(target) and _alike(input, target):
        # Two tensors that need no conversion, the common case: nothing below would change them.
        return Operands(input, target, None, input.dtype)
    named = {"input": input, "target": target}
    if weight is not None:
        named["weight"] = weight
    for name, tensor in named.items():
        _check(name, tensor)
        if tensor.device != input.device:
            raise ValueError(
                f"input and {name} must be on one device, got {input.device} and {tensor.device}"
            )
    if input.shape != target.shape:
        shape = _broadcast_shape(input, target)
        _warn_of_sizes(input, target)
    else:
        shape = input.shape
    if weight is not None and not _broadcasts_to(weight, shape):
        raise ValueError(
            f"weight must broadcast to the residual's shape {tuple(shape)}, "
            f"got {tuple(weight.shape)}"
        )
    dtypes = _dtypes(named)
    result = _promoted(dtypes)
    # A gradient of float16 would underflow before a loss scale reaches it.
    compute = torch.float32 if result in HALF else result
    if of_input and dtypes["input"] in HALF + NATIVE:
        result = dtypes["input"]
    x, y, *w = (tensor.to(compute).expand(shape) for tensor in named.values())
    return Operands(x, y, w[0] if w else None, result)


def _plain(tensor: Any) -> bool:
    return type(tensor) in (Tensor, Parameter) and tensor.dtype in NATIVE and _has_kernels(tensor)


def _alike(a: Tensor, b: Tensor) -> bool:
    return bool(a.dtype == b.dtype and a.shape == b.shape and a.device == b.device)


def _has_kernels(tensor: Tensor) -> bool:
    return (tensor.is_cpu or tensor.is_cuda) and tensor.layout is torch.strided


def memory_order(tensor: Tensor) -> list[int] | None:
    """Give the order of axes in which a tensor is contiguous; None if that is their own, or none.

    A convolution's ``channels_last`` is such an order; results of every element keep it, as
    torch's do.
    """
    if tensor.is_contiguous():
        return None
    order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    return order if tensor.permute(order).is_contiguous() else None


def _check(name: str, tensor: Any) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
    if tensor.layout is not torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got the layout {tensor.layout}")
    if not (tensor.is_cpu or tensor.is_cuda):
        raise ValueError(f"{name} must be on a CPU or a CUDA device, got {tensor.device}")
    if tensor.dtype not in HALF + NATIVE + WHOLE:
        raise TypeError(f"{name} must hold real numbers, got {tensor.dtype}")


def _dtypes(named: dict[str, Tensor]) -> dict[str, torch.dtype]:
    """Give the dtypes that count: torch's autocast runs these losses in float32."""
    dtypes = {name: tensor.dtype for name, tensor in named.items()}
    if torch.is_autocast_enabled(named["input"].device.type):
        return {n: torch.float32 if dtype in HALF else dtype for n, dtype in dtypes.items()}
    return dtypes


def _promoted(dtypes: dict[str, torch.dtype]) -> torch.dtype:
    """Promote as torch does."""
    result = reduce(torch.promote_types, dtypes.values())
    if result not in HALF + NATIVE:
        got = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise TypeError(f"input or target must hold floating-point numbers, got {got}")
    return result


def _broadcast_shape(input: Tensor, target: Tensor) -> torch.Size:
    try:
        return torch.broadcast_shapes(input.shape, target.shape)
    except RuntimeError:
        raise ValueError(
            f"input and target must broadcast, got the shapes {tuple(input.shape)} and "
            f"{tuple(target.shape)}"
        ) from None


def _broadcasts_to(weight: Tensor, shape: torch.Size) -> bool:
    if weight.shape == shape:
        return True
    try:
        return bool(torch.broadcast_shapes(weight.shape, shape) == shape)
    except RuntimeError:
        return False


def _warn_of_sizes(input: Tensor, target: Tensor) -> None:
    warnings.warn(
        f"Using a target size ({target.size()}) that is different to the input size "
        f"({input.size()}). This will likely lead to incorrect results due to broadcasting. "
        "Please ensure they have the same size.",
        stacklevel=caller_level(),
    )
