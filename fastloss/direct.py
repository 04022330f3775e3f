"""The short way of a call: plain arrays go straight to compiled code.

Checks, broadcasting and the choice of a kernel take ten times as long as the loss of 100 elements.
None of it can change anything for arrays that may go this way. Numba's look at the arguments' types
is left out too, so ``kernels`` and ``takes`` must refuse whatever compiled code would take for
something else:

- subclasses of NumPy's array and other libraries' arrays, which have meanings of their own;
- a dtype that is not one of the two precisions of the arithmetic, in the machine's byte order:
  those have one object each, which ``Ready`` is looked up by;
- any other number of axes than one: more would be written beyond the description of an array;
- an ``out`` that is read-only.

The rest is seen in that description, so compiled code looks itself before it writes anything, in a
nanosecond (``maybe.in_order``): whether each array is one run of aligned elements, as many as the
others have, and ``out`` overlaps no other partly. Where not, all functions here give None. Nothing
is refused with an error: the long way does that, with the words for it. A formula of a user's own
goes the long way too, which looks whether its code has changed.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastloss.arrays import NATIVE
from fastloss.cpu.sizes import BLOCK
from fastloss.interrupts import import_whole
from fastloss.typing import Array

if TYPE_CHECKING:
    from fastloss.cpu.ready import Ready

_ARRAY = np.ndarray


def kernels(
    known: "dict[np.dtype[Any], Ready] | None", formula: Any, input: Any, target: Any, weight: Any
) -> "Ready | None":
    """Give a formula's kernels for arrays that may go this way, kept by their dtype.

    Weights do if they are at most a block: of more, the way takes no part of the time worth saving.
    """
    if (
        known is None
        or type(input) is not _ARRAY
        or type(target) is not _ARRAY
        or input.dtype is not target.dtype
        or input.ndim != 1
        or target.ndim != 1
    ):
        return None
    found = known.get(input.dtype)
    if found is None and input.dtype in NATIVE:
        import_whole("fastloss.cpu.ready")
        from fastloss.cpu.ready import Ready

        found = known[input.dtype] = Ready(formula, input.dtype)
    if weight is None or found is None:
        return found
    if (
        type(weight) is not _ARRAY
        or weight.dtype is not input.dtype
        or weight.ndim != 1
        or input.size > BLOCK
    ):
        return None
    return found.weighted


def takes(out: Any, input: Any) -> bool:
    """Whether compiled code can write to ``out``, or to a new array in its place."""
    return out is None or (
        type(out) is _ARRAY and out.dtype is input.dtype and out.ndim == 1 and out.flags.writeable
    )


def total(ready: "Ready", mean: bool, input: Any, target: Any, weight: Any) -> float | None:
    """Give the sum or mean of the losses."""
    size = input.size
    if size > BLOCK:
        exact, done = ready.large("total", input, target, 1.0)
    else:
        exact, error, done = ready.total(
            ready.formula, input, target, weight, 1.0, None, None, None, True, None, None
        )
        if exact + error == exact + error:  # beyond float64's range the error is inf - inf
            exact += error
    if not done:
        return None
    if not mean:
        return exact
    divisor = size if weight is None else ready.divisor(weight)
    return None if divisor is None else exact / divisor


def values(ready: "Ready", input: Any, target: Any, weight: Any, out: Array | None) -> Array | None:
    """Give the losses."""
    size = input.size
    if out is None:
        out = np.empty(size, input.dtype)
    if size > BLOCK:
        done = ready.large("values", input, target, 1.0, out)[1]
    else:
        done = ready.values(
            ready.formula, input, target, weight, 1.0, out, None, None, None, None, None
        )[2]
    return out if done else None


def gradient(
    ready: "Ready", mean: bool, input: Any, target: Any, weight: Any, out: Array | None
) -> Array | None:
    """Give the gradient."""
    size = input.size
    divisor = _divisor(ready, mean, size, weight)
    if divisor is None:
        return None
    if out is None:
        out = np.empty(size, input.dtype)
    scale = 1.0 / divisor
    if size > BLOCK:
        done = ready.large("gradient", input, target, scale, None, out)[1]
    else:
        done = ready.gradient(
            ready.formula, input, target, weight, scale, None, out, None, None, None, None
        )[2]
    return out if done else None


def both(
    ready: "Ready", mean: bool, input: Any, target: Any, weight: Any, out: Array | None
) -> tuple[float, Array] | None:
    """Give the sum or mean and the gradient."""
    size = input.size
    divisor = _divisor(ready, mean, size, weight)
    if divisor is None:
        return None
    if out is None:
        out = np.empty(size, input.dtype)
    scale = 1.0 / divisor
    if size > BLOCK:
        exact, done = ready.large("both", input, target, scale, None, out)
    else:
        exact, error, done = ready.both(
            ready.formula, input, target, weight, scale, None, out, None, True, None, None
        )
        if exact + error == exact + error:
            exact += error
    return (exact / divisor, out) if done else None


def curvature(
    ready: "Ready",
    mean: bool,
    input: Any,
    target: Any,
    weight: Any,
    out: tuple[Array | None, Array | None],
) -> tuple[Array, Array] | None:
    """Give the gradient and the curvature."""
    size = input.size
    divisor = _divisor(ready, mean, size, weight)
    if divisor is None:
        return None
    grad, hess = (np.empty(size, input.dtype) if one is None else one for one in out)
    scale = 1.0 / divisor
    if size > BLOCK:
        done = ready.large("curvature", input, target, scale, None, grad, hess)[1]
    else:
        done = ready.curvature(
            ready.formula, input, target, weight, scale, None, grad, hess, None, None, None
        )[2]
    return (grad, hess) if done else None


def _divisor(ready: "Ready", mean: bool, size: int, weight: Any) -> float | None:
    """Give what gradients are divided by; None where the long way has to look at the weights."""
    if not mean:
        return 1.0
    if weight is None:
        return size or None
    found: float | None = ready.divisor(weight)
    return found
