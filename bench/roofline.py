"""The machine's own memory speed, which a loss kernel's is stated as a fraction of.

The two kernels are those of ``fastloss bench``: ``read`` adds up two arrays, ``write`` subtracts
two into a third. Run as a script, this prints both for float32 and float64.
"""

import statistics
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from fastloss.cli.memory import ARRAY_BYTES, Traffic, reader, writer

__all__ = ["ARRAY_BYTES", "read_bandwidth", "reader", "write_bandwidth", "writer"]

ROUNDS = 9


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
