"""From which size on two threads beat one, for each kind of kernel: the figures of cpu/sizes.py.

Both kernels are called in turn on the same arrays, which lie in the cache. A size is worth its
threads where they save a tenth in both precisions.
"""

import time

import numba
import numpy as np
from rich.console import Console
from rich.table import Table

from fastloss.cpu import elementwise
from fastloss.cpu.formula import bind
from fastloss.cpu.sizes import BLOCK
from fastloss.formulas import SmoothL1

SIZES = [BLOCK + 1, 1.5 * BLOCK, 2 * BLOCK, 3 * BLOCK, 4 * BLOCK, 8 * BLOCK, 32 * BLOCK]
KINDS = {"total": 3, "values": 0, "gradient": 1, "both": 1, "curvature": 2}
ROUNDS = 200


def call(kind, size, dtype, kernel):
    x, y, v, g, h = np.random.default_rng(0).standard_normal((5, size)).astype(dtype)
    pairs = np.empty((size, 2)) if kind in ("total", "both") else None
    outs = {
        "total": (None, None, None),
        "values": (v, None, None),
        "gradient": (None, g, None),
        "both": (None, g, None),
        "curvature": (None, g, h),
    }[kind]
    formula, one = bind(SmoothL1(), np.dtype(dtype)), dtype(1)
    return lambda: kernel(formula, x, y, None, one, *outs, pairs, None, None, None)


def best(calls):
    seconds = dict.fromkeys(calls, np.inf)
    for _ in range(ROUNDS):
        for name, run in calls.items():
            start = time.perf_counter()
            run()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


def main():
    table = Table(title=f"microseconds on one thread / on {numba.get_num_threads()}: ratio")
    table.add_column("")
    for size in SIZES:
        table.add_column(f"{int(size):,}", justify="right")
    for kind in KINDS:
        for dtype in (np.float32, np.float64):
            row = []
            for size in map(int, SIZES):
                calls = {
                    "one": call(kind, size, dtype, elementwise.serial),
                    "all": call(kind, size, dtype, elementwise.parallel),
                }
                found = best(calls)
                one, several = found["one"] * 1e6, found["all"] * 1e6
                row.append(f"{one:.1f} / {several:.1f}: {one / several:.2f}")
            table.add_row(f"{kind} {np.dtype(dtype).name}", *row)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
