"""Sizes that decide how elements are taken, in numbers of elements."""

from collections.abc import Sequence

# The unit of work and of summation. A mean of float32 takes 0.68 ns an element with 8,192, 0.64
# with 32,768, 0.63 with 65,536, which would be one block where two threads begin.
BLOCK = 32768

# Where two threads beat one, by what is computed: from there on they save a tenth. The figures are
# microseconds for float32 on one thread and on two, there and a size before, printed by
# bench/thresholds.py; float64 decides alike.
PARALLEL_FROM = {
    "total": 49_152,  # 13.1, 10.8; at 32,769 9.2, 10.4
    "values": 65_536,  # 10.7, 8.1; at 49,152 8.1, 7.8
    "gradient": 49_152,  # 10.0, 8.8; at 32,769 8.2, 9.4
    "both": 49_152,  # 19.5, 16.0; at 32,769 13.6, 16.1
    "curvature": 49_152,  # in float64 22.4, 18.3; at 32,769 16.7, 19.4
}
# Every kind is worth its threads here.
ALWAYS_PARALLEL_FROM = max(PARALLEL_FROM.values())


def parallel_from(outs: Sequence[object], total: bool) -> int:
    """Give the size from which threads are worth it, where value, grad and hess may be None."""
    _, grad, hess = outs
    if hess is not None:
        return PARALLEL_FROM["curvature"]
    if grad is not None:
        return PARALLEL_FROM["both" if total else "gradient"]
    return PARALLEL_FROM["total" if total else "values"]
