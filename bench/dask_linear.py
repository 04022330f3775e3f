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
CHUNK_BYTES = 64 << 20


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
    """Chunks of 64 MB on threads, beside the same rows in memory."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((ROWS, COLUMNS))
    y = rng.standard_normal(ROWS)
    rows = CHUNK_BYTES // (8 * COLUMNS)
    # Views, which share X's memory: the two ways read the same.
    lazy = da.concatenate(
        [
            da.from_delayed(dask.delayed(X[i : i + rows], pure=False), X[i : i + rows].shape, float)
            for i in range(0, ROWS, rows)
        ]
    )
    memory, chunked = fl.LinearObjective(X, y), fl.LinearObjective(lazy, y)
    w = np.zeros(COLUMNS)
    ways = {"value and gradient": lambda o: o(w), "with X'DX": lambda o: o.value_grad_hess(w)}
    for name, way in ways.items():
        found = medians({"memory": partial(way, memory), "chunks": partial(way, chunked)})
        table.add_row(f"{name}, in memory, ms", f"{1e3 * found['memory']:.1f}")
        table.add_row(f"{name}, 64 MB chunks on threads, ms", f"{1e3 * found['chunks']:.1f}")
        table.add_row(f"{name}, share of the speed", f"{found['memory'] / found['chunks']:.2f}")


def overhead(table, name, rows):
    """32 chunks: tiny ones, and ones that are too large to go together but are as quick."""
    X = dask.persist(da.ones((32 * rows, 4), chunks=(rows, 4)))[0]
    y = dask.persist(da.zeros(32 * rows, chunks=rows))[0]
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
