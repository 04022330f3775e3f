"""A thread's columns of a row: neighbours, 16 bytes of them, as a tuple of lanes.

They are loaded at once where rows are aligned (``singly`` is ``()``). Otherwise it is one by one,
``count`` of them, as there may be fewer at the end of a row; the first one brings what the others
find in the cache.
"""

from typing import Any

from numba import float64, int64, uint32, uint64

from fastloss.cuda.jit import SIMULATED, THREADS, VECTOR_BYTES, device
from fastloss.cuda.tuples import lanewise

if SIMULATED:
    from fastloss.cuda.plain_lanes import load, multiply_add
else:
    from numba.core.types.containers import BaseTuple
    from numba.cuda.extending import overload

    from fastloss.cuda.lanes import lanes_of, load, multiply_add


def zeros(array: Any, zero: Any) -> Any:
    """Give as many zeros as an array has elements in 16 bytes."""
    return (zero,) * (VECTOR_BYTES // array.dtype.itemsize)


def lanes_within(singly: Any, column: Any, columns: Any, lanes: Any) -> Any:
    """Count a thread's columns, the first of which is ``column``."""
    return len(lanes) if isinstance(singly, tuple) else min(columns - int(column), len(lanes))


def some(array: Any, i: Any, count: Any, like: Any) -> Any:
    """Load ``count`` elements from element i on, and fill them up with zeros."""
    zero = array.dtype.type(0)
    return tuple(array[i + k] if k < count else zero for k in range(len(like)))


def loaded(array: Any, i: Any, singly: Any, count: Any) -> Any:
    """Load a thread's columns of a row, the first of which is element i."""
    if isinstance(singly, tuple):
        return load(array, i)
    return some(array, i, count, zeros(array, array.dtype.type(0)))


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

    @overload(zeros)
    def _zeros(array, zero):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if lanes_of(array.dtype) == 2:
            return lambda array, zero: (zero, zero)
        return lambda array, zero: (zero, zero, zero, zero)

    @overload(lanes_within)
    def _lanes_within(singly, column, columns, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        most = len(lanes)
        if isinstance(singly, BaseTuple):
            return lambda singly, column, columns, lanes: most
        # Numbers of 32 bits are compared in one instruction.
        return lambda singly, column, columns, lanes: uint32(min(columns - int64(column), most))

    @overload(some)
    def _some(array, i, count, like):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        T = array.dtype
        # An index without a sign: one with it would be tested for counting from the end.
        if len(like) == 2:
            return lambda array, i, count, like: (
                (array[uint64(i)] if count > 0 else T(0)),
                (array[uint64(i + 1)] if count > 1 else T(0)),
            )
        return lambda array, i, count, like: (
            (array[uint64(i)] if count > 0 else T(0)),
            (array[uint64(i + 1)] if count > 1 else T(0)),
            (array[uint64(i + 2)] if count > 2 else T(0)),
            (array[uint64(i + 3)] if count > 3 else T(0)),
        )

    @overload(loaded)
    def _loaded(array, i, singly, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(singly, BaseTuple):
            return lambda array, i, singly, count: load(array, i)
        T = array.dtype
        return lambda array, i, singly, count: some(array, i, count, zeros(array, T(0)))

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
