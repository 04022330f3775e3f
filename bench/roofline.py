"""The machine's own memory speed, measured by two kernels that do next to no arithmetic.

``read`` adds up two arrays; ``write`` subtracts two arrays into a third. A loss kernel moves the
same bytes, so its speed is stated as a fraction of these, measured in the same process on the same
threads. Run as a script, this prints both for float32 and float64.
"""

import statistics
import time
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import njit, prange

# Bytes of each array. Three of them are far beyond any last-level cache of one socket's share.
ARRAY_BYTES = 1 << 27
# Elements to a block: enough to hide the start of a block, few enough to balance the threads.
BLOCK = 1 << 16
ROUNDS = 9


# A sum vectorises only with permission to reorder its additions.
@njit(fastmath={"reassoc"}, error_model="numpy")
def _sum(x, y):
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] + y[i]
    return total


@njit(error_model="numpy")
def _subtract(x, y, out):
    for i in range(x.size):
        out[i] = x[i] - y[i]


@njit(parallel=True, error_model="numpy")
def _read(x, y, sums):
    for b in prange(sums.size):
        lo = np.int64(b) * BLOCK  # prange's index is unsigned, which keeps slices from vectorising
        hi = min(x.size, lo + BLOCK)
        sums[b] = _sum(x[lo:hi], y[lo:hi])


@njit(parallel=True, error_model="numpy")
def _write(x, y, out):
    for b in prange((x.size + BLOCK - 1) // BLOCK):
        lo = np.int64(b) * BLOCK
        hi = min(x.size, lo + BLOCK)
        _subtract(x[lo:hi], y[lo:hi], out[lo:hi])


class Traffic(NamedTuple):
    """A call and the bytes that it moves."""

    call: Callable[[], Any]
    bytes: int


def reader(dtype: Any, n: int | None = None) -> Traffic:
    """Give the kernel that reads two streams, on arrays of its own."""
    x, y = _inputs(dtype, n)
    sums = np.empty(-(-x.size // BLOCK), x.dtype)
    return Traffic(lambda: _read(x, y, sums), 2 * x.nbytes)


def writer(dtype: Any, n: int | None = None) -> Traffic:
    """Give the kernel that reads two streams and writes one, on arrays of its own.

    The cache lines that a store first reads from memory are not counted, here as for the losses.
    """
    x, y = _inputs(dtype, n)
    out = np.ones_like(x)
    return Traffic(lambda: _write(x, y, out), 3 * x.nbytes)


def _inputs(dtype: Any, n: int | None) -> tuple[np.ndarray, np.ndarray]:
    # Written before they are read: untouched pages all map to one page of zeros in the cache.
    dtype = np.dtype(dtype)
    size = ARRAY_BYTES // dtype.itemsize if n is None else n
    return np.full(size, 1, dtype), np.full(size, 0.5, dtype)


def read_bandwidth(dtype: Any) -> float:
    """Bytes per second of the threads' reading; measured once per process."""
    return _bandwidth(reader, np.dtype(dtype), numba.get_num_threads())


def write_bandwidth(dtype: Any) -> float:
    """Bytes per second of two streams in and one out; measured once per process."""
    return _bandwidth(writer, np.dtype(dtype), numba.get_num_threads())


@cache
def _bandwidth(make: Callable[[Any], Traffic], dtype: np.dtype, threads: int) -> float:
    traffic = make(dtype)
    traffic.call()  # compiles
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        traffic.call()
        seconds.append(time.perf_counter() - start)
    return traffic.bytes / statistics.median(seconds)


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Memory, {numba.get_num_threads()} threads, median of {ROUNDS}")
    table.add_column("dtype")
    table.add_column("read, GB/s", justify="right")
    table.add_column("write, GB/s", justify="right")
    for dtype in (np.float32, np.float64):
        read, write = read_bandwidth(dtype) / 1e9, write_bandwidth(dtype) / 1e9
        table.add_row(np.dtype(dtype).name, f"{read:.1f}", f"{write:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
