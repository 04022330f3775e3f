"""The linear model beside its peers: value and gradient in one pass over X, and whole fits.

Objectives take turns in one process, and so do fits. The peak of memory is that of a process of its
own for each fit, beside X and y. OpenBLAS's threads wait actively for a tenth of a second after
each product and would slow whoever comes next: they are told to sleep.
"""

import multiprocessing
import os
import statistics
import sys
from importlib.util import find_spec
from typing import Any

os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")  # before NumPy is imported

import numpy as np
import peak
import scipy.sparse
import show
from peers import FASTLOSS, PEERS, agree, linear_data
from peers.fits import FITS, delta_of, outlying_data

import fastloss as fl
from fastloss.cli.memory import reading
from fastloss.cli.timing import interleave

SHAPES = ((1_000_000, 8), (1_000_000, 32), (200_000, 500), (20_000, 5_000))
DTYPES = ("float32", "float64")
SPARSE = ((200_000, 1_000), (1_000_000, 500))
DENSITY = 0.01
ROWS, COLUMNS = 500_000, 40
ROUNDS, FIT_ROUNDS = 9, 3

Row = dict[str, Any]


def dense(n: int, p: int, dtype: str, order: str) -> Row:
    X, y, w = linear_data(n, p, np.dtype(dtype), order)
    calls = {peer.name: peer.linear(X, y, w) for peer in PEERS if peer.linear}
    ours = calls[FASTLOSS.name]()
    for call in calls.values():
        agree("linear", ours, call(), X.dtype)
    vector = X.ravel(order="K")
    half = vector.size // 2
    calls["read"] = reading(vector[:half], vector[half : 2 * half]).call
    calls["read"]()
    return _row(f"{n:,} x {p:,}, {dtype}, {order}", calls)


def sparse(n: int, p: int, dtype: str, layout: str) -> Row:
    X = scipy.sparse.random(n, p, DENSITY, layout, dtype=np.dtype(dtype), random_state=0)
    rng = np.random.default_rng(0)
    y, w = rng.standard_normal(n).astype(dtype), rng.standard_normal(p)
    objective, narrow = fl.LinearObjective(X, y), w.astype(dtype)

    def products():
        r = X @ narrow - y
        a = np.abs(r)
        return np.where(a < 1, 0.5 * r * r, a - 0.5).mean(), X.T @ (np.clip(r, -1, 1) / n)

    calls = {FASTLOSS.name: lambda: objective(w), "numpy": products}
    agree("linear", calls[FASTLOSS.name](), products(), X.dtype)
    return _row(f"{n:,} x {p:,} at {DENSITY:.0%}, {dtype}, {layout.upper()}", calls)


def _row(name: str, calls: dict[str, Any]) -> Row:
    times = interleave(calls, ROUNDS)
    return {"what": name} | {k: statistics.median(values) for k, values in times.items()}


def fits() -> list[Row]:
    X, y = outlying_data(ROWS, COLUMNS)
    delta = delta_of(X, y)
    objective = fl.LinearObjective(X, y, fl.HuberLoss(delta=delta), fit_intercept=True)
    there = {name: fit for name, (package, fit) in FITS.items() if find_spec(package)}
    values = {name: objective(fit(X, y, delta))[0] for name, fit in there.items()}
    calls = {name: lambda fit=fit: fit(X, y, delta) for name, fit in there.items()}
    times = interleave(calls, FIT_ROUNDS)
    least = min(values.values())
    context = multiprocessing.get_context("spawn")
    rows = []
    for name in there:
        with context.Pool(1) as pool:
            most = pool.apply(peak_of, (name, delta))
        gap = values[name] / least - 1
        rows.append(
            {
                "what": name,
                "seconds": statistics.median(times[name]),
                "gap": gap,
                "peak": most / X.nbytes,
            }
        )
    return rows


def peak_of(name: str, delta: float) -> int:
    """Give the bytes that a fit takes beside the data at most, in a fresh process."""
    X, y = outlying_data(ROWS, COLUMNS)
    fit = FITS[name][1]
    fit(X[:2000], y[:2000], delta)
    return peak.taken(lambda: fit(X, y, delta))[1]


def measure() -> dict[str, list[Row]]:
    objectives = [
        dense(n, p, dtype, order) for n, p in SHAPES for dtype in DTYPES for order in "CF"
    ]
    return {
        "dense": objectives,
        "sparse": [
            sparse(n, p, dtype, layout)
            for n, p in SPARSE
            for dtype in DTYPES
            for layout in ("csr", "csc")
        ],
        "fits": fits(),
    }


def tables(document: dict[str, list[Row]]):
    """Give each table's title, heads and rows as text."""
    rows = document["dense"]
    others = [k for k in rows[0] if k not in ("what", "read", FASTLOSS.name)]
    yield (
        "Linear model, value and gradient (smooth L1): milliseconds, share of the speed of reading "
        "X once, times",
        ["rows x columns", "fastloss", "of reading", *others],
        [
            [
                row["what"],
                f"{row[FASTLOSS.name] * 1e3:.1f}",
                f"{row['read'] / row[FASTLOSS.name]:.0%}",
                *(f"{row[k] / row[FASTLOSS.name]:.1f}" for k in others),
            ]
            for row in rows
        ],
    )
    yield (
        "Sparse X: milliseconds, and times SciPy's two products",
        ["rows x columns", "fastloss", "scipy"],
        [
            [r["what"], f"{r[FASTLOSS.name] * 1e3:.1f}", f"{r['numpy'] / r[FASTLOSS.name]:.1f}"]
            for r in document["sparse"]
        ],
    )
    ours = document["fits"][0]["seconds"]
    yield (
        f"A whole fit, {ROWS:,} x {COLUMNS} float64, a tenth of outliers, Huber's loss, to one "
        "optimum",
        ["", "seconds", "times fastloss", "value above the least", "peak of memory beside X"],
        [
            [
                row["what"],
                f"{row['seconds']:.3f}",
                f"{row['seconds'] / ours:.1f}",
                f"{row['gap']:.0e}",
                f"{row['peak']:.1%}",
            ]
            for row in document["fits"]
        ],
    )


if __name__ == "__main__":
    sys.exit(show.main(__doc__, measure, tables))
