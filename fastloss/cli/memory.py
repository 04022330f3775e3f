"""The machine's own memory speed, by kernels that do next to no arithmetic.

``read`` adds up two arrays; ``write`` subtracts two arrays into a third. A loss kernel moves the
same bytes, so its speed is stated as a share of these, measured in the same process on the same
threads.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numba import prange

from fastloss.typing import Array, Vector

Function = TypeVar("Function", bound=Callable[..., Any])

# Bytes of each array. Three of them are far beyond any last-level cache of one socket's share.
ARRAY_BYTES = 1 << 27
# Elements to a block: enough to hide the start of a block, few enough to balance the threads.
BLOCK = 1 << 16


class Traffic(NamedTuple):
    """A call and the bytes that it moves."""

    call: Callable[[], Any]
    bytes: int


def reader(dtype: Any, n: int | None = None) -> Traffic:
    """Give the kernel that reads two streams, on arrays of its own.

    Parameters
    ----------
    dtype : dtype
        Of both arrays.
    n : int, optional
        Their elements; by default far more than a cache holds.

    Returns
    -------
    Traffic
    """
    return reading(*_inputs(dtype, n))


def reading(x: Vector, y: Vector) -> Traffic:
    """Give the kernel that reads two streams, on these arrays."""
    sums = np.empty(-(-x.size // BLOCK), x.dtype)
    return Traffic(lambda: _read(x, y, sums), 2 * x.nbytes)


def writer(dtype: Any, n: int | None = None) -> Traffic:
    """Give the kernel that reads two streams and writes one, on arrays of its own.

    The cache lines that a store first reads from memory are not counted, here as for the losses.

    Parameters
    ----------
    dtype, n
        As for :func:`reader`.

    Returns
    -------
    Traffic
    """
    x, y = _inputs(dtype, n)
    return writing(x, y, np.ones_like(x))


def writing(x: Vector, y: Vector, out: Vector) -> Traffic:
    """Give the kernel that reads two streams and writes one, on these arrays."""
    return Traffic(lambda: _write(x, y, out), 3 * x.nbytes)


def _inputs(dtype: Any, n: int | None) -> tuple[Array, Array]:
    # Written before they are read: untouched pages all map to one page of zeros in the cache.
    dtype = np.dtype(dtype)
    size = ARRAY_BYTES // dtype.itemsize if n is None else n
    return np.full(size, 1, dtype), np.full(size, 0.5, dtype)


def _compiled(**options: Any) -> Callable[[Function], Function]:
    return cast(Callable[[Function], Function], numba.njit(error_model="numpy", **options))


# A sum vectorises only with permission to reorder its additions.
@_compiled(fastmath={"reassoc"})
def _sum(x: Vector, y: Vector) -> Any:
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] + y[i]
    return total


@_compiled()
def _subtract(x: Vector, y: Vector, out: Vector) -> None:
    for i in range(x.size):
        out[i] = x[i] - y[i]


@_compiled(parallel=True)
def _read(x: Vector, y: Vector, sums: Vector) -> None:
    for b in prange(sums.size):
        lo = np.int64(b) * BLOCK  # prange's index is unsigned, which keeps slices from vectorising
        hi = min(x.size, lo + BLOCK)
        sums[b] = _sum(x[lo:hi], y[lo:hi])


@_compiled(parallel=True)
def _write(x: Vector, y: Vector, out: Vector) -> None:
    for b in prange((x.size + BLOCK - 1) // BLOCK):
        lo = np.int64(b) * BLOCK
        hi = min(x.size, lo + BLOCK)
        _subtract(x[lo:hi], y[lo:hi], out[lo:hi])
