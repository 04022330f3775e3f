"""Sums with their rounding error beside them, in an order that is the same on any GPU.

Each thread adds up its own elements, a block its threads by halves, and one block the blocks in
order: no atomics, and nothing that depends on the number of multiprocessors. No product is fused
into a sum (``plus``), which the compiler would do here and not there.
"""

from typing import Any

from numba import cuda, float64, int64

from fastloss.cuda.jit import SIMULATED, THREADS, device
from fastloss.cuda.tuples import lanes_sum

if SIMULATED:
    from fastloss.cuda.plain_lanes import plus
else:
    from numba.core.types.containers import BaseTuple
    from numba.cuda.extending import overload

    from fastloss.cuda.lanes import plus


@device
def add(total: Any, error: Any, term: Any) -> Any:
    """Add a term, and the rounding error of that to the error (two-sum)."""
    term = float64(term)
    result = plus(total, term)
    part = result - total
    return result, error + ((total - (result - part)) + plus(term, -part))


def accumulate(partials: Any, total: Any, error: Any, lanes: Any) -> Any:
    """Add lanes to a thread's sum if it is asked for."""
    return (total, error) if isinstance(partials, tuple) else add(total, error, lanes_sum(lanes))


def leave(partials: Any, index: Any, total: Any, error: Any) -> None:
    """Combine the sums of a block's threads by halves and leave them as a pair."""
    if not isinstance(partials, tuple):
        combine(partials, index, total, error)


@device
def combine(pairs: Any, index: Any, total: Any, error: Any) -> None:
    """Combine the sums of a block's threads by halves into the pair of this index."""
    totals = cuda.shared.array(THREADS, float64)
    errors = cuda.shared.array(THREADS, float64)
    thread = cuda.threadIdx.x
    totals[thread] = total
    errors[thread] = error
    cuda.syncthreads()
    half = THREADS // 2
    while half:
        if thread < half:
            total, error = add(totals[thread], errors[thread], totals[thread + half])
            totals[thread] = total
            errors[thread] = error + errors[thread + half]
        cuda.syncthreads()
        half //= 2
    if thread == 0:
        pairs[2 * index] = totals[0]
        pairs[2 * index + 1] = errors[0]


@device
def add_pairs(pairs: Any, first: Any, count: Any) -> Any:
    """Add up a thread's share of ``count`` pairs; each thread of a block takes its own."""
    total, error = 0.0, 0.0
    i = int64(cuda.threadIdx.x)
    while i < count:
        total, error = add(total, error, pairs[2 * (first + i)])
        error += pairs[2 * (first + i) + 1]
        i += THREADS
    return total, error


if not SIMULATED:

    @overload(accumulate)
    def _accumulate(partials, total, error, lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(partials, BaseTuple):
            return lambda partials, total, error, lanes: (total, error)
        return lambda partials, total, error, lanes: add(total, error, lanes_sum(lanes))

    @overload(leave)
    def _leave(partials, index, total, error):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if isinstance(partials, BaseTuple):
            return lambda partials, index, total, error: None
        return lambda partials, index, total, error: combine(partials, index, total, error)
