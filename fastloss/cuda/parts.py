"""Dot products of a tile of rows with coefficients: the parts of each thread, in shared memory.

Absent coefficients have no parts: ``()`` in place of memory.
"""

from typing import Any

from fastloss.cuda.columns import dot, some
from fastloss.cuda.jit import SIMULATED, THREADS

if not SIMULATED:
    from numba import uint32, uint64
    from numba.core.types.containers import BaseTuple
    from numba.cuda.extending import overload

# Rows of a tile that a thread has elements of: as many 16-byte loads are in flight.
UNROLL = 4
# Partial dot products that one thread adds up at once, and in the first of two steps where a row
# has more. On an H200 an X of float32 is read at 3.5 TB/s in one step of 32 and 3.0 in two; two of
# 8 and 8 read float64 at 3.6, of 16 and 4 at 3.3, and one of 64 at 3.0.
AT_ONCE, FAN = (2, 2) if SIMULATED else (32, 8)
# A row's parts lie an odd number of float64 from the next row's, as threads that read down a column
# would meet in one bank of shared memory.
PARTS = UNROLL * (THREADS + THREADS // 2)


def leave_parts(parts: Any, here: Any, down: Any, x: Any, w: Any, column: Any, count: Any) -> None:
    """Leave a thread's part of the dot products of its rows with coefficients that may be absent.

    The coefficients are loaded for each tile, from the first-level cache: to keep them would take
    8 registers of the 64.
    """
    if not isinstance(parts, tuple):
        here_w = some(w, column, count, x[0])
        for k in range(UNROLL):
            parts[here + k * down] = dot(x[k], here_w, 0.0)


def shorten(parts: Any, low: Any, share: Any, shares: Any, count: Any) -> None:
    """Add up every ``shares``-th part of a row, from part ``share`` on, where that lies."""
    if not isinstance(parts, tuple):
        total = 0.0
        k = share
        while k < count:
            total += parts[low + k]
            k += shares
        parts[low + share] = total


def prediction(parts: Any, low: Any, count: Any, w: Any, columns: Any) -> Any:
    """Add up the parts of a row and the intercept."""
    if isinstance(parts, tuple):
        return ()
    total = w[columns]
    for k in range(count):
        total += parts[low + k]
    return total


if not SIMULATED:

    @overload(leave_parts)
    def _leave_parts(parts, here, down, x, w, column, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(parts, BaseTuple):
            return lambda parts, here, down, x, w, column, count: None

        def leave(parts, here, down, x, w, column, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            here_w = some(w, column, count, x[0])
            parts[here] = dot(x[0], here_w, 0.0)
            parts[uint32(here + down)] = dot(x[1], here_w, 0.0)
            parts[uint32(here + 2 * down)] = dot(x[2], here_w, 0.0)
            parts[uint32(here + 3 * down)] = dot(x[3], here_w, 0.0)

        return leave

    @overload(shorten)
    def _shorten(parts, low, share, shares, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(parts, BaseTuple):
            return lambda parts, low, share, shares, count: None

        def shortened(parts, low, share, shares, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            total = 0.0
            k = share
            while k < count:
                total += parts[uint32(low + k)]
                k = uint32(k + shares)
            parts[uint32(low + share)] = total

        return shortened

    @overload(prediction)
    def _prediction(parts, low, count, w, columns):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(parts, BaseTuple):
            return lambda parts, low, count, w, columns: ()

        def predicted(parts, low, count, w, columns):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            total = w[uint64(columns)]
            end = uint32(low + count)
            while low < end:
                total += parts[low]
                low = uint32(low + 1)
            return total

        return predicted
