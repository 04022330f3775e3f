"""A linear model of Dask arrays: its speed beside arrays in memory, and what an evaluation costs.

    python bench/dask_linear.py

Rounds are interleaved; figures are medians.
"""

import time
from functools import partial

import dask
import dask.array as da
import distributed
import numpy as np
from rich.console import Console
from rich.table import Table

import fastloss as fl

ROUNDS = 15
ROWS, COLUMNS = 4_000_000, 32
CHUNKS_MB = 64, 128, 256


def medians(calls, rounds=ROUNDS):
    """Give the seconds of each call, which are made in turn."""
    seconds = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(taken)) for name, taken in seconds.items()}


def speed(table):
    """Chunks on threads, beside the same rows in memory."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((ROWS, COLUMNS))
    y = rng.standard_normal(ROWS)
    w = np.zeros(COLUMNS)
    objectives = {"in memory": fl.LinearObjective(X, y)}
    for size in CHUNKS_MB:
        rows = (size << 20) // (8 * COLUMNS)
        lazy = da.concatenate([_view(X[i : i + rows]) for i in range(0, ROWS, rows)])
        objectives[f"{size} MB chunks"] = fl.LinearObjective(lazy, y)
    for name, method in (("value and gradient", "__call__"), ("with X'DX", "value_grad_hess")):
        calls = {k: partial(getattr(o, method), w) for k, o in objectives.items()}
        found = medians(calls)
        for way, seconds in found.items():
            share = found["in memory"] / seconds
            figures = f"{1e3 * seconds:.1f}, {share:.2f}"
            table.add_row(f"{name}, {way}: ms, share of the speed", figures)


def _view(rows):
    """Share memory with X: all ways read the same."""
    return da.from_delayed(dask.delayed(rows, pure=False), rows.shape, float)


def overhead(table, name, rows):
    """32 chunks: tiny ones, and ones that are too large to go together but are as quick."""
    X = dask.persist(da.random.default_rng(0).random((32 * rows, 4), chunks=(rows, 4)))[0]
    y = dask.persist(X[:, 0] + 1.0)[0]
    objective = fl.LinearObjective(X, y)
    objective(np.zeros(4))
    found = medians({"": lambda: objective(np.zeros(4))})[""]
    table.add_row(f"{name}, 32 chunks of {rows * 32 // 1024} KB, ms", f"{1e3 * found:.1f}")


def main():
    table = Table("what", "number", title="linear model of Dask arrays")
    speed(table)
    for rows in (32, 130_000):
        overhead(table, "an evaluation on threads", rows)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    )
    with cluster, distributed.Client(cluster):
        for rows in (32, 130_000):
            overhead(table, "an evaluation on a LocalCluster", rows)
    Console().print(table)


if __name__ == "__main__":
    main()
