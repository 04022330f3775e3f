"""How near each kernel comes to the limits: memory, a second core, a bare call.

Three tables, each of calls that take turns in one process:

- arrays far beyond the last cache, as a share of the machine's memory speed. Gradients of a mean
  with weights read these twice, first for their sum, which is counted. The measure of
  what only reads is the kernel that reads two arrays, of the rest the one that writes a third. What
  can be won by stores past the cache, the last row says, of a kernel that does nothing else;
- arrays in the cache, on one thread and on all;
- small arrays, by the public call, without rests between the calls of a sample.
"""

import statistics
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import show
from past_cache import storing
from peers import agree, elementwise_data
from peers.with_numpy import PEER as NUMPY
from peers.with_numpy import WEIGHTED
from roofline import ARRAY_BYTES, reader, writer

import fastloss as fl
from fastloss.cli.memory import reading, writing
from fastloss.cli.timing import interleave

DTYPES = ("float32", "float64")
ROUNDS = 21
CACHED = 1_000_000
SMALL = (10, 100)
# Calls in a sample of small ones.
CALLS = 10_000

Row = dict[str, Any]


def calls_of(x: Any, y: Any, w: Any, g: Any, h: Any) -> dict[str, tuple[Callable[[], Any], int]]:
    """Give each kind's call, and the arrays that it has to move."""
    mean, total, none = (fl.SmoothL1Loss(reduction=r) for r in ("mean", "sum", "none"))
    # A mean's own divisor has to be known before its gradient.
    own, divisor = (0, 0) if w is None else (1, 1)
    return {
        "mean": (lambda: mean(x, y, w), 2 + own),
        "sum": (lambda: total(x, y, w), 2 + own),
        "none": (lambda: none(x, y, w, out=g), 3 + own),
        "grad": (lambda: mean.grad(x, y, w, out=g), 3 + own + divisor),
        "value_and_grad": (lambda: mean.value_and_grad(x, y, w, out=g), 3 + own + divisor),
        "sum, value_and_grad": (lambda: total.value_and_grad(x, y, w, out=g), 3 + own),
        "grad_and_hess": (lambda: total.grad_and_hess(x, y, w, out=(g, h)), 4 + own),
    }


def large(dtype: str, rounds: int = ROUNDS) -> Iterator[Row]:
    """Measure arrays beyond the cache."""
    n = ARRAY_BYTES // np.dtype(dtype).itemsize
    x, y = elementwise_data(n, np.dtype(dtype))
    w = np.random.default_rng(1).random(n, np.dtype(dtype)) + np.dtype(dtype).type(0.5)
    # All on the same arrays: how fast memory is depends on the pages that the system gave for it.
    g, h = np.ones_like(x), np.ones_like(x)
    kinds = {
        (name, weights is not None): call
        for weights in (None, w)
        for name, call in calls_of(x, y, weights, g, h).items()
    }
    measures = {"read": reading(x, y), "write": writing(x, y, g)}
    bare = storing(x, y, g)
    kinds["subtracted, past the cache", False] = bare.call, 3
    everything: dict[Any, Callable[[], Any]] = {k: call for k, (call, _) in kinds.items()}
    everything |= {k: traffic.call for k, traffic in measures.items()}
    for call in everything.values():
        call()
    times = {k: statistics.median(t) for k, t in interleave(everything, rounds).items()}
    speeds = {k: traffic.bytes / times[k] for k, traffic in measures.items()}
    for (name, weighted), (_, streams) in kinds.items():
        seconds = times[name, weighted]
        measure = "read" if name in ("mean", "sum") else "write"
        yield {
            "kind": name,
            "weights": weighted,
            "dtype": dtype,
            "n": n,
            "seconds": seconds,
            "streams": streams,
            "measure": measure,
            "gb_per_second": streams * x.nbytes / seconds / 1e9,
            "share": streams * x.nbytes / seconds / speeds[measure],
        }


def cached(rounds: int = ROUNDS) -> Iterator[Row]:
    """Measure arrays in the cache, on one thread and on all.

    Both dtypes take turns: where two virtual cores are one real core for ten seconds, as seen on a
    rented machine, that is no median.
    """
    every = numba.get_num_threads()

    def on(threads: int, call: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> None:
            numba.set_num_threads(threads)
            call()

        return run

    kinds: dict[tuple[str, str], Callable[[], Any]] = {}
    for dtype in DTYPES:
        x, y = elementwise_data(CACHED, np.dtype(dtype))
        outs = np.ones((2, CACHED), dtype)
        kinds |= {(k, dtype): call for k, (call, _) in calls_of(x, y, None, *outs).items()}
        # What the machine itself gains from its threads.
        kinds["two arrays read", dtype] = reader(dtype, CACHED).call
        kinds["a third one written", dtype] = writer(dtype, CACHED).call
    both = {(*kind, t): on(t, call) for kind, call in kinds.items() for t in (1, every)}
    for call in both.values():
        call()
    # The first calls with another number of threads than before, and after a rest, wait for these:
    # one by one a solver's calls do not.
    times = interleave(both, rounds, dict.fromkeys(both, 100))
    numba.set_num_threads(every)
    for kind, dtype in kinds:
        one, several = (statistics.median(times[kind, dtype, t]) for t in (1, every))
        yield {"kind": kind, "dtype": dtype, "n": CACHED, "one": one, "all": several}


def small(dtype: str, rounds: int = ROUNDS) -> Iterator[Row]:
    """Measure small arrays by the public call, beside NumPy's expression."""
    for n in SMALL:
        x, y = elementwise_data(n, np.dtype(dtype))
        w, g, h = np.ones((3, n), x.dtype)
        plain, weighted = calls_of(x, y, None, g, h), calls_of(x, y, w, g, h)
        pairs = {k: (plain[k][0], make(x, y)) for k, make in NUMPY.elementwise.items()}
        pairs |= {f"{k}, weights": (weighted[k][0], make(x, y, w)) for k, make in WEIGHTED.items()}
        for kind, (ours, numpys) in pairs.items():
            agree(kind.removesuffix(", weights"), ours(), numpys(), x.dtype)
        calls = {(k, i): call for k, pair in pairs.items() for i, call in enumerate(pair)}
        times = interleave(calls, rounds, dict.fromkeys(calls, CALLS))
        for k in pairs:
            ours, numpys = (statistics.median(times[k, i]) for i in range(2))
            yield {"kind": k, "dtype": dtype, "n": n, "seconds": ours, "of_numpy": ours / numpys}


def tables(document: dict[str, list[Row]]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Give each table's title, heads and rows as text."""
    cells: dict[Any, Row] = {
        (r["kind"], r["weights"], r["dtype"]): r for r in document.get("large", [])
    }
    ways = [(w, d) for w in (False, True) for d in DTYPES]
    if cells:
        n = {r["dtype"]: r["n"] for r in document["large"]}
        heads = ["", *(f"{d}{', weights' if w else ''}" for w, d in ways)]
        yield (
            f"Beyond the cache ({n['float32']:,} float32, {n['float64']:,} float64): milliseconds, "
            "and the share of memory's speed",
            heads,
            [
                [
                    kind,
                    *(
                        f"{r['seconds'] * 1e3:.1f}, {r['share']:.0%}"
                        if (r := cells.get((kind, *way)))
                        else ""
                        for way in ways
                    ),
                ]
                for kind in dict.fromkeys(k for k, _, _ in cells)
            ],
        )
    rows = document.get("cached", [])
    if rows:
        by = {(r["kind"], r["dtype"]): r for r in rows}
        yield (
            f"{CACHED:,} elements: microseconds on one thread and on all, and the ratio",
            ["", *DTYPES],
            [
                [
                    kind,
                    *(
                        f"{r['one'] * 1e6:.0f}, {r['all'] * 1e6:.0f}: {r['one'] / r['all']:.2f}"
                        for r in (by[kind, d] for d in DTYPES)
                    ),
                ]
                for kind in dict.fromkeys(k for k, _ in by)
            ],
        )
    rows = document.get("small", [])
    if rows:
        at = {(r["kind"], r["n"], r["dtype"]): r for r in rows}
        columns = [(n, d) for d in DTYPES for n in SMALL]
        yield (
            "Small arrays: microseconds of a call, and its part of NumPy's time",
            ["", *(f"{n} {d}" for n, d in columns)],
            [
                [
                    kind,
                    *(
                        f"{at[kind, *c]['seconds'] * 1e6:.2f}, {at[kind, *c]['of_numpy']:.2f}"
                        for c in columns
                    ),
                ]
                for kind in dict.fromkeys(k for k, _, _ in at)
            ],
        )


def measure() -> dict[str, list[Row]]:
    """Take all three."""
    return {
        "large": [row for dtype in DTYPES for row in large(dtype)],
        "cached": list(cached()),
        "small": [row for dtype in DTYPES for row in small(dtype)],
    }


def main() -> int:
    show.tables(tables(measure()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
