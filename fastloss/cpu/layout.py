"""Arrays of any layout as runs of contiguous elements, without a copy of the whole.

Elements are numbered in C order (in Fortran order where every input is). A run of them is, in an
array of any strides, at most a few rectangles (``rectangles``): each is copied into or out of a
small buffer by NumPy, which converts precision and byte order on the way.
"""

from collections.abc import Iterator
from math import prod
from typing import Any, TypeAlias

import numpy as np

from fastloss.arrays import precision
from fastloss.typing import Array, Vector

Index: TypeAlias = tuple[slice, ...]


def flat(array: "Array | Folded", dtype: np.dtype[Any]) -> Vector | None:
    """Give the array's memory as one aligned vector that kernels can take, if it is one."""
    if isinstance(array, Folded):
        return None
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned and array.dtype == dtype):
        return None
    return writeable(array).reshape(-1)


def vector(array: Array) -> Vector:
    """Give y or weights as kernels of the linear model take them.

    Not copied only because it is read-only: of a memory map of 20 columns, that cost a fifth.
    """
    return writeable(np.require(array, precision(array.dtype), ["C", "A"]))


def writeable(array: Array) -> Array:
    """Give the array without the mark that it is read-only.

    Numba compiles anew for read-only arrays; the kernels do not write to their inputs.
    """
    return array if array.flags.writeable else np.asarray(_Memory(array))


class _Memory:
    """The memory of a read-only array, without the mark."""

    def __init__(self, array: Array) -> None:
        self.owner = array  # kept alive by the view made from this object
        self.__array_interface__ = {
            "data": (array.ctypes.data, False),
            "shape": array.shape,
            "strides": array.strides,
            "typestr": array.dtype.str,
            "version": 3,
        }


def rectangles(shape: tuple[int, ...], low: int, high: int) -> Iterator[Index]:
    """Cover elements ``low`` to ``high`` (not included) in C order by rectangles, in order."""
    if len(shape) <= 1:
        yield (slice(low, high),)[: len(shape)]
        return
    row = prod(shape[1:])
    first, head = divmod(low, row)
    last, tail = divmod(high, row)
    if head:
        stop = row if first < last else tail
        for index in rectangles(shape[1:], head, stop):
            yield slice(first, first + 1), *index
        first += 1
    if first < last:
        yield slice(first, last), *(slice(0, n) for n in shape[1:])
    if tail and first <= last:
        for index in rectangles(shape[1:], 0, tail):
            yield slice(last, last + 1), *index


def read(array: Array, low: int, high: int, buffer: Vector) -> None:
    """Copy a run of elements into the start of the buffer."""
    for index, run in _runs(array.shape, low, high, buffer):
        run[...] = array[index]


def write(array: "Array | Folded", low: int, high: int, buffer: Vector) -> None:
    """Copy the start of the buffer to a run of elements."""
    with np.errstate(over="ignore"):  # float32 to float16: infinity, as arithmetic would give
        for index, run in _runs(array.shape, low, high, buffer):
            array[index] = run


def _runs(
    shape: tuple[int, ...], low: int, high: int, buffer: Vector
) -> Iterator[tuple[Index, Array]]:
    start = 0
    for index in rectangles(shape, low, high):
        extent = tuple(s.stop - s.start for s in index)
        stop = start + prod(extent)
        yield index, buffer[start:stop].reshape(extent)
        start = stop


class Folded:
    """An output of a broadcast shape that is summed back to the shape before broadcasting."""

    def __init__(self, out: Array, shape: tuple[int, ...]) -> None:
        self.out = out
        self.shape = shape
        self._sum = np.zeros((1,) * (len(shape) - out.ndim) + out.shape)
        self._axes = tuple(i for i, n in enumerate(self._sum.shape) if n != shape[i])

    def __setitem__(self, index: Index, part: Array) -> None:
        """Add a rectangle's sum to where it came from."""
        own = tuple(slice(0, 1) if i in self._axes else s for i, s in enumerate(index))
        # Infinities, and what overflows to them, go where arithmetic takes them, unannounced.
        with np.errstate(over="ignore", invalid="ignore"):
            self._sum[own] += part.sum(axis=self._axes, dtype=np.float64, keepdims=True)

    def finish(self) -> None:
        """Write the sums to the output."""
        with np.errstate(over="ignore"):
            self.out[...] = self._sum.reshape(self.out.shape)
