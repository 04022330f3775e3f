"""Linear models on Dask, beside the same rows in memory and a plain Dask expression.

Objectives take turns in one process: in memory, on Dask's threads and on a local cluster of one
process for each core, with chunks of 1 to 256 MB. Then a fit against SciPy's L-BFGS-B on what one
would write in Dask, to one optimum, and what an evaluation of next to no rows takes.

    python bench/clusters.py            four minutes, 5 GB of memory
    python bench/clusters.py --quick    half a minute
"""

import os
import statistics
import sys
from typing import Any

# Before NumPy and Dask are imported.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")
os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")

import dask
import dask.array as da
import numpy as np
import show
from distributed import Client, LocalCluster
from rich.progress import track
from scipy.optimize import minimize

import fastloss as fl
from fastloss.cli.timing import interleave

# A number of chunks that two and four threads share evenly, in all sizes.
ROWS, COLUMNS = 12_800_000, 20
CHUNKS_MB = (1, 4, 16, 64, 256)
FIT_CHUNK_MB = 64
SMALL_CHUNKS, SMALL_ROWS = 32, (1_000, 50_000)
ROUNDS, FIT_ROUNDS = 7, 3
BETA = 1.0

Row = dict[str, Any]


def data(n: int):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, COLUMNS), np.float32)
    y = X @ np.arange(COLUMNS, dtype=np.float32) + rng.standard_normal(n, np.float32)
    y[::10] += 1000
    return X, y


def chunked(X, y, rows: int):
    return da.from_array(X, (rows, X.shape[1])), da.from_array(y, rows)


def plain(dX, dy):
    """Give value and gradient as one would write them in Dask, in one graph."""
    n = dX.shape[0]

    def call(w):
        r = dX @ w.astype(np.float32) - dy
        a = abs(r)
        value = da.where(a < BETA, 0.5 * r * r / BETA, a - 0.5 * BETA).mean()
        gradient = dX.T @ (da.clip(r / BETA, -1, 1) / n)
        value, gradient = dask.compute(value, gradient)
        return float(value), gradient.astype(np.float64)

    return call


def objectives(X, y, sizes) -> list[Row]:
    w = np.full(COLUMNS, 0.1)
    held = fl.LinearObjective(X, y)
    expected = held(w)
    rows = []
    for megabytes in track(sizes, "objectives"):
        dX, dy = chunked(X, y, max(1, megabytes * 10**6 // X[0].nbytes))
        threads = fl.LinearObjective(dX, dy)
        expression = plain(dX, dy)
        calls = {
            "memory": lambda: held(w),
            "threads": _on_threads(lambda f=threads: f(w)),
            "plain": _on_threads(lambda f=expression: f(w)),
        }
        with _cluster() as client:
            cluster = fl.LinearObjective(*client.persist([dX, dy]))
            calls["cluster"] = lambda f=cluster: f(w)
            for name, call in calls.items():
                np.testing.assert_allclose(call()[1], expected[1], atol=1e-3, err_msg=name)
            times = interleave(calls, ROUNDS)
            del cluster, calls  # what is persisted is let go before its cluster
        rows.append({"megabytes": megabytes, "chunks": dX.numblocks[0]} | _medians(times))
    return rows


def _on_threads(call):
    def threaded():
        with dask.config.set(scheduler="threads"):
            return call()

    return threaded


def _cluster() -> Client:
    return Client(
        LocalCluster(
            n_workers=os.cpu_count(),
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
        )
    )


def _medians(times) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in times.items()}


def overheads() -> list[Row]:
    """Time evaluations of many small chunks: less than a task is worth, and 4 MB each."""
    w = np.zeros(COLUMNS)
    found = []
    with _cluster() as client:
        for rows in SMALL_ROWS:
            X, y = data(SMALL_CHUNKS * rows)
            dX, dy = chunked(X, y, rows)
            held, threads = fl.LinearObjective(X, y), fl.LinearObjective(dX, dy)
            cluster = fl.LinearObjective(*client.persist([dX, dy]))
            calls = {
                "memory": lambda f=held: f(w),
                "threads": _on_threads(lambda f=threads: f(w)),
                "cluster": lambda f=cluster: f(w),
            }
            for call in calls.values():
                call()
            found.append({"bytes": rows * X[0].nbytes} | _medians(interleave(calls, 15)))
            del cluster, calls
    return found


def fits(X, y) -> list[Row]:
    dX, dy = chunked(X, y, FIT_CHUNK_MB * 10**6 // X[0].nbytes)
    loss = fl.SmoothL1Loss(beta=BETA)
    found = {}

    def ours(*arrays):
        return lambda: fl.fit(*arrays, loss, fit_intercept=False).x

    def scipy():
        options = {"gtol": 1e-7, "ftol": 1e-15}
        start = np.zeros(COLUMNS)
        return minimize(plain(dX, dy), start, jac=True, method="L-BFGS-B", options=options).x

    calls = {
        "fastloss, in memory": ours(X, y),
        "fastloss, Dask's threads": _on_threads(ours(dX, dy)),
        "SciPy's L-BFGS-B on a Dask expression": _on_threads(scipy),
    }
    value = fl.LinearObjective(X, y, loss).value
    found = {name: value(call()) for name, call in calls.items()}
    times = _medians(interleave(calls, FIT_ROUNDS))
    least = min(found.values())
    return [{"what": k, "seconds": times[k], "gap": found[k] / least - 1} for k in calls]


def measure(quick: bool = False) -> dict[str, Any]:
    X, y = data(ROWS // (10 if quick else 1))
    sizes = CHUNKS_MB[1:4:2] if quick else CHUNKS_MB
    return {
        "rows": len(X),
        "objectives": objectives(X, y, sizes),
        "overheads": overheads(),
        "fits": fits(X, y),
    }


def tables(document: dict[str, Any]):
    """Give each table's title, heads and rows as text."""
    yield (
        f"On Dask, value and gradient over {document['rows']:,} x {COLUMNS} float32: share of the "
        "speed in memory",
        ["chunk", "chunks", "threads", "local cluster", "plain Dask expression"],
        [
            [
                f"{row['megabytes']} MB",
                f"{row['chunks']}",
                *(f"{row['memory'] / row[k]:.2f}" for k in ("threads", "cluster", "plain")),
            ]
            for row in document["objectives"]
        ],
    )
    yield (
        f"An evaluation of {SMALL_CHUNKS} small chunks: milliseconds",
        ["chunk", "in memory", "threads", "local cluster"],
        [
            [
                f"{row['bytes'] / 1e6:.2g} MB",
                *(f"{row[k] * 1e3:.1f}" for k in ("memory", "threads", "cluster")),
            ]
            for row in document["overheads"]
        ],
    )
    ours = document["fits"][0]["seconds"]
    yield (
        f"A fit of {document['rows']:,} x {COLUMNS} float32, a tenth of outliers, chunks of "
        f"{FIT_CHUNK_MB} MB",
        ["", "seconds", "times the first", "value above the least"],
        [
            [r["what"], f"{r['seconds']:.2f}", f"{r['seconds'] / ours:.1f}", f"{r['gap']:.0e}"]
            for r in document["fits"]
        ],
    )


if __name__ == "__main__":
    sys.exit(show.main(__doc__, measure, tables, "a tenth of the rows, two sizes of chunks"))
