"""What a caller may pass, and every error message about it.

``Operands`` is what the back ends get: arrays of one shape, a precision to compute in, a precision
to answer in. Kernels check no sizes, so all checks stand here, for arrays in any :mod:`place
<fastloss.place>`.
"""

import sys
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from math import isnan, nan, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastloss.place import HOST, Place
from fastloss.typing import Array

# The precisions of the arithmetic.
NATIVE = frozenset((np.dtype(np.float32), np.dtype(np.float64)))

# Elements that NumPy can count.
MOST = sys.maxsize
# How hard to search for an overlap of two arrays of exotic strides before assuming one.
OVERLAP_WORK = 10_000


class Operands(NamedTuple):
    """The arrays of one call, checked and broadcast against each other."""

    input: Array
    """The input in the shape the caller gave, which is the shape of its gradient."""
    arrays: tuple[Array, Array, Array | None]
    """Input, target and weight, each seen in the residual's shape."""
    shape: tuple[int, ...]
    """The residual's shape."""
    compute: np.dtype[Any]
    """The precision of the arithmetic: float32 or float64."""
    result: np.dtype[Any]
    """The precision of the results: also float16."""
    place: Place
    """Where the arrays live, and what results are given as."""

    @property
    def size(self) -> int:
        """The number of residuals."""
        return prod(self.shape)

    def empty(self, shape: tuple[int, ...] | None = None) -> Array:
        """Give a new array for a result, in the memory order of the inputs."""
        shape = self.shape if shape is None else shape
        order = "F" if in_fortran_order(self.arrays) else "C"
        return self.place.empty(shape, self.result, order)

    def output(self, out: object, name: str, shape: tuple[int, ...]) -> Array:
        """Give ``out`` if it can take a result of this shape, a new array if it is None."""
        if out is None:
            return self.empty(shape)
        out = self.place.buffer(name, out)
        if out.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}, got {out.shape}")
        if out.dtype.kind != "f" or not np.can_cast(self.result, out.dtype, "same_kind"):
            raise TypeError(
                f"{name} must have a dtype that {self.result} casts to, got {out.dtype}"
            )
        if not out.flags.writeable:
            raise ValueError(f"{name} must be writeable, got a read-only array")
        if _overlaps_itself(out):
            raise ValueError(f"{name} must not overlap itself, got the strides {out.strides}")
        others = self.input, *self.arrays[1:]
        for other_name, other in zip(("input", "target", "weight"), others, strict=True):
            if other is not None and _overlap_partly(out, other):
                raise ValueError(
                    f"{name} must not overlap {other_name} partly: pass the same array, or one "
                    "with memory of its own"
                )
        return out

    def given(self, out: Array | None, result: Array) -> Array:
        """Give the caller's own buffer back; without one, the result as the caller's kind."""
        return self.place.give(result) if out is None else out


def operands(
    place: Place, input: ArrayLike, target: ArrayLike, weight: ArrayLike | None
) -> Operands:
    """Check the three arguments of a loss.

    Raises
    ------
    TypeError
        If one of them does not hold real numbers of at most 64 bits.
    ValueError
        If their shapes do not broadcast, the weight's to that of the other two.
    """
    if place is HOST and weight is None and type(input) is type(target) is np.ndarray:
        # Two arrays that need no conversion, the common case: nothing below would change them.
        dtype = input.dtype
        if dtype in NATIVE and dtype == target.dtype and input.shape == target.shape:
            return Operands(input, (input, target, None), input.shape, dtype, dtype, place)
    x, y = place.array("input", input), place.array("target", target)
    w = None if weight is None else place.array("weight", weight)
    result = result_dtype((input, x), (target, y), *([] if w is None else [(weight, w)]))
    compute = np.dtype(np.float32 if result == np.float16 else result)
    shape = residual_shape(x.shape, y.shape, None if w is None else w.shape)
    if w is not None and w.shape != shape:
        w = np.broadcast_to(w, shape, subok=True)
    arrays = tuple(a if a.shape == shape else np.broadcast_to(a, shape, subok=True) for a in (x, y))
    return Operands(x, (arrays[0], arrays[1], w), shape, compute, result, place)


def in_fortran_order(arrays: Iterable[Array | None]) -> bool:
    """Whether all arrays (None aside) lie in Fortran order, and not all in C order too."""
    c_order = True
    for array in arrays:
        if array is not None:
            flags = array.flags
            if not flags.f_contiguous:
                return False
            c_order = c_order and flags.c_contiguous
    return not c_order


def result_dtype(*pairs: tuple[object, Array]) -> np.dtype[Any]:
    """Promote as NumPy does; what would be an integer is float64.

    A pair is an argument and its array: Python's own numbers adapt to the arrays beside them.
    """
    dtype = np.result_type(
        *(given if isinstance(given, bool | int | float) else a.dtype for given, a in pairs)
    )
    return np.dtype(np.float64) if dtype.kind in "biu" else np.dtype(dtype.newbyteorder("="))


def precision(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Give the precision that numbers are kept in: float32 if they have it, else float64."""
    return np.dtype(np.float32 if dtype == np.float32 else np.float64)


def residual_shape(
    input: tuple[int, ...], target: tuple[int, ...], weight: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Give the shape of the residuals of arguments of these shapes.

    Raises
    ------
    ValueError
        If the first two do not broadcast, or the weight's not to what they make.
    """
    shape = input if input == target else _broadcast_shape(input, target)
    if weight is not None and weight != shape and _broadcast(weight, shape) != shape:
        raise ValueError(f"weight must broadcast to the residual's shape {shape}, got {weight}")
    return shape


def _broadcast_shape(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    shape = _broadcast(x, y)
    if shape is None:
        raise ValueError(f"input and target must broadcast, got the shapes {x} and {y}")
    if prod(shape) > MOST:
        raise ValueError(
            f"input and target must make at most {MOST} residuals, got the shapes {x} and {y}"
        )
    if shape not in (x, y) and prod(shape) > max(prod(x), prod(y)):
        warnings.warn(
            f"input of shape {x} and target of shape {y} make residuals of shape {shape}, more "
            "than either has: if they were meant to pair up, reshape one of them",
            UserWarning,
            stacklevel=caller_level(),
        )
    return shape


def caller_level() -> int:
    """Give the ``stacklevel`` at which a warning points at the code that called fastloss."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fastloss."):
        frame = frame.f_back
        level += 1
    return level


def _broadcast(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...] | None:
    """Broadcast as NumPy does, whose own function stops at 32 axes where arrays have 64."""
    longer = max(len(x), len(y))
    pairs = zip(*((1,) * (longer - len(shape)) + shape for shape in (x, y)), strict=True)
    shape = tuple(n if m == 1 else m for m, n in pairs if m == n or 1 in (m, n))
    return shape if len(shape) == longer else None


def _overlaps_itself(array: Array) -> bool:
    """Whether elements may share memory: some axis steps less far than the inner ones reach."""
    reach = array.itemsize
    for step, n in sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True)):
        if n > 1 and step < reach:
            return array.size > 0
        reach += (n - 1) * step
    return False


def inverse(divisor: float) -> float:
    """Give what the gradient of a mean is multiplied by: NaN where there is no mean."""
    return 1.0 / divisor if divisor else nan


def require_divisor(divisor: float, dtype: np.dtype[Any]) -> None:
    """Raise ValueError if a dtype cannot hold the inverse of the sum of the weights."""
    smallest = smallest_divisor(dtype)
    if divisor and not isnan(divisor) and not smallest <= abs(divisor) <= 1 / smallest:
        raise ValueError(
            f"weight must have a sum whose inverse {dtype} can hold, got {divisor!r}: rescale it"
        )


@cache
def smallest_divisor(dtype: np.dtype[Any]) -> float:
    """Give the least number whose inverse a dtype can hold; one over it is the greatest."""
    return float(np.finfo(dtype).tiny)


def disjoint(outs: Sequence[Array], names: Sequence[str]) -> None:
    """Raise ValueError if two outputs share memory."""
    first, second = outs
    if _overlap(first, second):
        raise ValueError(f"{names[0]} and {names[1]} must not share memory")


def _overlap_partly(out: Array, other: Array) -> bool:
    if not np.may_share_memory(out, other):
        return False
    same = out is other or (
        # The address: the mark of a read-only view beside it makes no other memory.
        out.__array_interface__["data"][0] == other.__array_interface__["data"][0]
        and out.shape == other.shape
        and out.strides == other.strides
        and out.dtype == other.dtype
    )
    return not same and _overlap(out, other)


def _overlap(a: Array, b: Array) -> bool:
    try:
        return np.shares_memory(a, b, max_work=OVERLAP_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
