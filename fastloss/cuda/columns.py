"""A thread's columns of a row, as a tuple of lanes.

Neighbouring columns are loaded 16 bytes at once where rows are aligned (``apart`` is ``()``).
Otherwise a thread's columns lie ``apart`` columns from each other, so that neighbouring threads
load neighbouring elements.
"""

from typing import Any

from numba import float64

from fastloss.cuda.jit import SIMULATED, THREADS, VECTOR_BYTES, device
from fastloss.cuda.tuples import lanewise

if SIMULATED:
    from fastloss.cuda.plain_lanes import load, multiply_add
else:
    from numba.core.types.containers import BaseTuple
    from numba.cuda.extending import overload

    from fastloss.cuda.lanes import lanes_of, load, multiply_add


def distance(apart: Any) -> Any:
    """Give the number of columns between lanes."""
    return 1 if isinstance(apart, tuple) else apart


def zeros(array: Any, zero: Any) -> Any:
    """Give as many zeros as an array has elements in 16 bytes."""
    return (zero,) * (VECTOR_BYTES // array.dtype.itemsize)


def spaced(array: Any, low: Any, column: Any, apart: Any, columns: Any, like: Any) -> Any:
    """Load as many columns as ``like`` has lanes, of a row that starts at ``low``; 0 past its end.

    The columns are ``column``, ``column + apart`` and so on.
    """
    lanes = range(len(like))
    zero = array.dtype.type(0)
    return tuple(
        array[low + column + k * apart] if column + k * apart < columns else zero for k in lanes
    )


def loaded(array: Any, low: Any, column: Any, apart: Any, columns: Any) -> Any:
    """Load a thread's columns of the row that starts at element ``low``."""
    if isinstance(apart, tuple):
        return load(array, low + column)
    return spaced(array, low, column, apart, columns, zeros(array, array.dtype.type(0)))


def dot(x: Any, w: Any, total: Any) -> Any:
    """Add the products of two tuples of lanes to a float64 sum, each rounded once."""
    for p, q in zip(x, w, strict=True):
        total = multiply_add(float64(p), q, total)
    return total


def put(array: Any, i: Any, lanes: Any) -> None:
    """Store each lane, a block's number of threads from the one before."""
    for k, lane in enumerate(lanes):
        array[i + k * THREADS] = lane


@lanewise
@device
def combined(factor: Any, total: Any, x: Any) -> Any:
    """Add the factor times x to a float64 sum."""
    return multiply_add(factor, float64(x), total)


if not SIMULATED:

    @overload(distance)
    def _distance(apart):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(apart, BaseTuple):
            return lambda apart: 1
        return lambda apart: apart

    @overload(zeros)
    def _zeros(array, zero):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if lanes_of(array.dtype) == 2:
            return lambda array, zero: (zero, zero)
        return lambda array, zero: (zero, zero, zero, zero)

    @overload(spaced)
    def _spaced(array, low, column, apart, columns, like):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        T = array.dtype
        if len(like) == 1:
            return lambda array, low, column, apart, columns, like: (
                (array[low + column] if column < columns else T(0)),
            )

        def several(array, low, column, apart, columns, like):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            first = array[low + column] if column < columns else T(0)
            return (first, *spaced(array, low, column + apart, apart, columns, like[1:]))

        return several

    @overload(loaded)
    def _loaded(array, low, column, apart, columns):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(apart, BaseTuple):
            return lambda array, low, column, apart, columns: load(array, low + column)
        T = array.dtype
        return lambda array, low, column, apart, columns: spaced(
            array, low, column, apart, columns, zeros(array, T(0))
        )

    @overload(dot)
    def _dot(x, w, total):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if len(x) == 1:
            return lambda x, w, total: multiply_add(float64(x[0]), w[0], total)
        return lambda x, w, total: dot(x[1:], w[1:], multiply_add(float64(x[0]), w[0], total))

    @overload(put)
    def _put(array, i, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if len(lanes) == 1:

            def put_one(array, i, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
                array[i] = lanes[0]

            return put_one

        def put_first(array, i, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            array[i] = lanes[0]
            put(array, i + THREADS, lanes[1:])

        return put_first
