"""What kernels do with arrays that may be None.

Numba compiles both sides of a branch on an argument that is an array, so each of these is an
overload, chosen by types: what a kernel does not need is not compiled with it, and none gives an
optional array, which would be tested in every loop.
"""

from typing import Any, TypeAlias

import numpy as np
from numba import types
from numba.extending import overload

from fastloss.cpu.jit import INLINE, inner
from fastloss.typing import Vector

# A vector or None, each of which Numba compiles for by itself.
Maybe: TypeAlias = Any


def is_none(kind: Any) -> bool:
    """Whether a type is that of None."""
    return kind is None or isinstance(kind, types.NoneType | types.Omitted)


def part(array: Maybe, low: Any, high: Any) -> Maybe:
    """Slice what may be None."""
    return None if array is None else array[low:high]


@overload(part, jit_options=INLINE)
def _part(array, low, high):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(array):
        return lambda array, low, high: None
    return lambda array, low, high: array[low:high]


def keep(array: Maybe, index: Any, number: float) -> None:
    """Write one number to what may be None."""
    if array is not None:
        array[index] = number


@overload(keep, jit_options=INLINE)
def _keep(array, index, number):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(array):
        return lambda array, index, number: None

    def write(array, index, number):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        array[index] = number

    return write


def terms_for(input: Vector, weight: Maybe, size: int) -> Vector:
    """Make a buffer for terms: without a weight, they have the precision of the data.

    In float32, value and gradient of 2**25 elements take 13.1 ms so, 13.9 with terms in float64.
    """
    return np.empty(size, input.dtype if weight is None else np.float64)


@overload(terms_for, jit_options=INLINE)
def _terms_for(input, weight, size):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(weight):
        return lambda input, weight, size: np.empty(size, input.dtype)  # noqa: A006
    return lambda input, weight, size: np.empty(size, np.float64)  # noqa: A006


def _is_run_or_none(array: Maybe, input: Vector) -> bool:
    return array is None or _is_run(array, input)


def _apart_or_none(out: Maybe, other: Maybe) -> bool:
    return out is None or other is None or _apart(out, other)


@overload(_is_run_or_none, jit_options=INLINE)
def _run_or_none(array, input):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(array):
        return lambda array, input: True  # noqa: A006
    return lambda array, input: _is_run(array, input)  # noqa: A006


@overload(_apart_or_none, jit_options=INLINE)
def _none_or_apart(out, other):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if is_none(out) or is_none(other):
        return lambda out, other: True
    return lambda out, other: _apart(out, other)


@inner
def in_order(input: Vector, target: Maybe, value_out: Maybe, grad_out: Maybe) -> bool:
    """Whether arrays are runs of aligned elements, as many in each, and one at least.

    And whether no output overlaps input or target partly. It may be one of them: each element is
    read before it is written.
    """
    return (
        input.size > 0
        and _is_run(input, input)
        and _is_run_or_none(target, input)
        and _is_run_or_none(value_out, input)
        and _is_run_or_none(grad_out, input)
        and _apart_or_none(value_out, input)
        and _apart_or_none(value_out, target)
        and _apart_or_none(grad_out, input)
        and _apart_or_none(grad_out, target)
    )


@inner
def _is_run(array: Vector, input: Vector) -> bool:
    size = array.itemsize
    return (
        array.size == input.size
        and (array.strides[0] == size or array.size == 1)
        and array.ctypes.data % size == 0
    )


@inner
def _apart(out: Vector, other: Vector) -> bool:
    low, start = out.ctypes.data, other.ctypes.data
    return low == start or low >= start + other.nbytes or low + out.nbytes <= start
