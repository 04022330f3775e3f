"""The short way of a call: plain arrays go straight to compiled code.

Checks, broadcasting and the choice of a kernel take ten times as long as the loss of 100 elements.
None of it can change anything for arrays that :func:`plain` lets pass, and compiled code checks
nothing, so ``plain`` must refuse whatever that code could not read as it is:

- subclasses of NumPy's array and other libraries' arrays, which have meanings of their own;
- a dtype that is not one of the two precisions of the arithmetic, in the machine's byte order:
  those have one object each, which ``Ready`` is looked up by;
- any other number of axes than one, which compiled code takes for granted;
- memory that is not contiguous, aligned and writeable, as ``carray`` says;
- different sizes, or no elements, a mean of which warns;
- an ``out`` that is not such an array too, or overlaps an input partly.

Nothing is refused here with an error: the long way does that, with the words for it. A formula of
a user's own goes the long way too, which looks whether its code has changed.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastloss.cpu.sizes import BLOCK
from fastloss.typing import Array

if TYPE_CHECKING:
    from fastloss.cpu.ready import Ready

_ARRAY = np.ndarray


def plain(input: Any, target: Any) -> bool:
    """Whether compiled code can take both arrays as they are."""
    return (
        type(input) is _ARRAY
        and type(target) is _ARRAY
        and input.dtype is target.dtype
        and input.ndim == 1
        and target.ndim == 1
        and 0 < input.size == target.size
        and input.flags.carray
        and target.flags.carray
    )


def takes(out: Any, input: Any) -> bool:
    """Whether compiled code can write to ``out``: it is an array of that kind too.

    Whether it overlaps an input partly is left to the compiled code, or to ``Ready.large``.
    """
    return (
        type(out) is _ARRAY
        and out.dtype is input.dtype
        and out.ndim == 1
        and out.size == input.size
        and out.flags.carray
    )


def total(ready: "Ready", mean: bool, input: Any, target: Any) -> float:
    """Give the sum or mean of the losses."""
    size = input.size
    exact: float
    if size > BLOCK:
        exact, _ = ready.large(input, target, 1.0, None, None, True)
    else:
        exact, error, _ = ready.total(
            ready.formula, input, target, None, 1.0, None, None, None, True, None
        )
        exact = _corrected(exact, error)
    return exact / size if mean else exact


def values(ready: "Ready", input: Any, target: Any, out: Array | None) -> Array | None:
    """Give the losses; None where ``out`` overlaps an input in a way for the long way."""
    if out is None:
        out = np.empty(input.size, input.dtype)
    if input.size > BLOCK:
        _, done = ready.large(input, target, 1.0, out, None, False)
    else:
        *_, done = ready.values(
            ready.formula, input, target, None, 1.0, out, None, None, None, None
        )
    return out if done else None


def gradient(
    ready: "Ready", mean: bool, input: Any, target: Any, out: Array | None
) -> Array | None:
    """Give the gradient; None as :func:`values`."""
    size = input.size
    if out is None:
        out = np.empty(size, input.dtype)
    scale = 1.0 / size if mean else 1.0
    if size > BLOCK:
        _, done = ready.large(input, target, scale, None, out, False)
    else:
        *_, done = ready.gradient(
            ready.formula, input, target, None, scale, None, out, None, None, None
        )
    return out if done else None


def both(
    ready: "Ready", mean: bool, input: Any, target: Any, out: Array | None
) -> tuple[float, Array] | None:
    """Give the sum or mean and the gradient; None as :func:`values`."""
    size = input.size
    if out is None:
        out = np.empty(size, input.dtype)
    scale = 1.0 / size if mean else 1.0
    exact: float
    if size > BLOCK:
        exact, done = ready.large(input, target, scale, None, out, True)
    else:
        exact, error, done = ready.both(
            ready.formula, input, target, None, scale, None, out, None, True, None
        )
        exact = _corrected(exact, error)
    if not done:
        return None
    return (exact / size if mean else exact), out


def _corrected(found: float, error: float) -> float:
    exact = found + error
    # Beyond float64's range the error is NaN (inf - inf), the sum itself is still right.
    return exact if exact == exact else found
