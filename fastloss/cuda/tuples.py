"""Arithmetic on tuples of lanes.

A loop over a tuple would index it in local memory. These are resolved by the tuple's length when a
kernel is compiled, so that every lane stays in a register.
"""

from typing import Any

from fastloss.cuda.jit import SIMULATED

if SIMULATED:
    from fastloss.cuda.plain_lanes import plus
else:
    from numba.cuda.extending import overload

    from fastloss.cuda.lanes import plus


def lanewise(function: Any) -> Any:
    """Make ``function(shared, a, b)`` of one lane one of tuples of lanes."""

    def each(shared: Any, a: Any, b: Any) -> Any:
        return tuple(function(shared, p, q) for p, q in zip(a, b, strict=True))

    if not SIMULATED:

        @overload(each)
        def _each(shared, a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            if len(a) == 1:
                return lambda shared, a, b: (function(shared, a[0], b[0]),)
            return lambda shared, a, b: (
                (function(shared, a[0], b[0]),) + each(shared, a[1:], b[1:])  # noqa: RUF005
            )

    return each


def pairs_sum(lanes: Any) -> Any:
    """Add up neighbours."""
    return tuple(plus(a, b) for a, b in zip(lanes[::2], lanes[1::2], strict=True))


def lanes_sum(lanes: Any) -> Any:
    """Add up the lanes, a power of two of them, by pairs."""
    return lanes[0] if len(lanes) == 1 else lanes_sum(pairs_sum(lanes))


if not SIMULATED:

    @overload(pairs_sum)
    def _pairs_sum(lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if len(lanes) == 2:
            return lambda lanes: (plus(lanes[0], lanes[1]),)
        return lambda lanes: (plus(lanes[0], lanes[1]),) + pairs_sum(lanes[2:])  # noqa: RUF005

    @overload(lanes_sum)
    def _lanes_sum(lanes):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if len(lanes) == 1:
            return lambda lanes: lanes[0]
        return lambda lanes: lanes_sum(pairs_sum(lanes))
