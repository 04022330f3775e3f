"""Linear models larger than memory: read block by block, beside the same rows in memory.

Objectives take turns in one process with what they are compared with: a memory map in the system's
cache with the same rows in memory; Parquet with what pyarrow takes to read the same columns and do
nothing with them; a map that the system has to read with reading the same bytes. Then fits of ever
more rows, each in a process of its own that may hold no more than the budget.

    python bench/large.py               six minutes, 12 GB in a temporary folder
    python bench/large.py --quick       20 seconds, 0.6 GB
"""

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import peak
import pyarrow as pa
import pyarrow.parquet as pq
import show
from pyarrow import dataset
from rich.progress import track

import fastloss as fl
from fastloss.cli.timing import interleave

COLUMNS = 20
OBJECTIVE = 20_000_000
GROWTH = (1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000)
BUDGET = 10**9
# The objectives' share of X: its file is larger than the budget.
PART = 4
MAP_ROUNDS = 21
ROUNDS = 7
DISK_ROUNDS = 5
BLOCK = 1_000_000
GROUP = 250_000
OUTLIERS = 10
# What is fastest to read, and how pyarrow writes if nothing is said: snappy, dictionaries.
PARQUET: dict[str, dict[str, Any]] = {
    "uncompressed": {"compression": "none", "use_dictionary": False},
    "by default": {},
}

Row = dict[str, Any]


class Files(NamedTuple):
    """Rows of X and y, as they lie in C order."""

    folder: Path

    def memory_maps(self, n: int):
        X = np.memmap(self.folder / "X", np.float32, "r", shape=(n, COLUMNS))
        return X, np.memmap(self.folder / "y", np.float32, "r", shape=(n,))

    def in_fortran_order(self, X):
        """Write rows of X once more, by columns."""
        path = self.folder / "columns"
        columns = np.memmap(path, X.dtype, "w+", shape=X.shape[::-1])
        for j, column in enumerate(X.T):
            columns[j] = column
        columns.flush()
        del columns  # what is mapped is not forgotten
        forget(path)
        return np.memmap(path, X.dtype, "r", shape=X.shape, order="F")

    def parquet(self, kind: str) -> Path:
        return self.folder / f"{kind}.parquet"


def write(files: Files, n: int, in_parquet: int) -> None:
    """Write ``n`` rows to two plain files, and the first ones to Parquet of each kind."""
    rng = np.random.default_rng(0)
    truth = np.arange(COLUMNS, dtype=np.float32)
    names = [*(f"x{j}" for j in range(COLUMNS)), "y"]
    schema = pa.schema([(name, pa.float32()) for name in names])
    with ExitStack() as stack:
        features, targets = (
            stack.enter_context((files.folder / name).open("wb")) for name in ("X", "y")
        )
        written = [
            stack.enter_context(pq.ParquetWriter(files.parquet(kind), schema, **options))
            for kind, options in PARQUET.items()
        ]
        block = min(BLOCK, in_parquet)
        for low in track(range(0, n, block), "writing"):
            rows = min(block, n - low)
            X = rng.standard_normal((rows, COLUMNS), np.float32)
            y = X @ truth + rng.standard_normal(rows, np.float32)
            y[::OUTLIERS] += 1000
            X.tofile(features)
            y.tofile(targets)
            if low < in_parquet:
                table = pa.table([*X.T, y], schema=schema)
                for file in written:
                    file.write_table(table, row_group_size=GROUP)


def cache(files: Files, n: int) -> None:
    """Have the system's cache hold the rows as it does after a first pass, in pages of 2 MB."""
    for path in (files.folder / "X", files.folder / "y"):
        forget(path)
    fl.LinearObjective(*files.memory_maps(n), memory_limit=BUDGET)(np.zeros(COLUMNS))


def forget(path: Path, size: int = 0) -> None:
    """Have the system's cache lose a file's first bytes, or all."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, size, os.POSIX_FADV_DONTNEED)


def read(path: Path, size: int = sys.maxsize) -> None:
    """Read the first bytes of a file, or all, and do nothing with them."""
    piece = bytearray(1 << 24)
    with path.open("rb", buffering=0) as file:
        while size > 0 and (count := file.readinto(memoryview(piece)[:size])):
            size -= count


def objectives(files: Files, n: int) -> list[Row]:
    """Time one evaluation of each kind of rows, beside what it is compared with."""
    X, y = files.memory_maps(n)
    budget = X.nbytes // PART
    w = np.full(COLUMNS, 0.1)
    sizes = {files.folder / "X": X.nbytes, files.folder / "y": y.nbytes}
    mapped = fl.LinearObjective(X, y, memory_limit=budget)
    parquet = {
        kind: fl.LinearObjective(files.parquet(kind), "y", memory_limit=budget) for kind in PARQUET
    }
    columns = files.in_fortran_order(X)
    mapped_columns = fl.LinearObjective(columns, y, memory_limit=budget)
    held = fl.LinearObjective(np.array(X), np.array(y))
    held_columns = fl.LinearObjective(np.array(columns), np.array(y))
    every = held, mapped, held_columns, mapped_columns, *parquet.values()
    values = [objective(w)[0] for objective in every]
    assert np.ptp(values) <= 1e-12 * values[0]
    pairs = [
        interleave({"in memory": lambda: held(w), "memory map": lambda: mapped(w)}, MAP_ROUNDS),
        interleave(
            {
                "in memory, Fortran order": lambda: held_columns(w),
                "memory map, Fortran order": lambda: mapped_columns(w),
            },
            MAP_ROUNDS,
        ),
        *(from_parquet(kind, files.parquet(kind), partial(parquet[kind], w)) for kind in PARQUET),
        not_cached(sizes, lambda: mapped(w)),
    ]
    return [row for pair in pairs for row in beside(pair, n, X.nbytes)]


def beside(times: dict[str, list[float]], n: int, size: int) -> list[Row]:
    """Give the rows of two that took turns, with the second one's share of the first one's speed.

    The share is the median of the rounds' own: these machines change their speed for seconds, and
    of a round both parts are as fast as the machine is then.
    """
    alone, streamed = times.values()
    shares = [None, statistics.median(a / b for a, b in zip(alone, streamed, strict=True))]
    return [
        {
            "what": name,
            "rows": n,
            "seconds": statistics.median(taken),
            "bytes": size,
            "share": share,
        }
        for (name, taken), share in zip(times.items(), shares, strict=True)
    ]


def from_parquet(kind: str, path: Path, evaluate: Callable[[], object]) -> dict[str, list[float]]:
    """Time reading a file's columns by pyarrow alone, and an evaluation of it."""
    _read(path)
    calls = {
        f"pyarrow alone, {kind}": lambda: _read(path),
        f"Parquet, {kind}": evaluate,
    }
    return interleave(calls, ROUNDS)


def not_cached(sizes: dict[Path, int], evaluate: Callable[[], object]) -> dict[str, list[float]]:
    """Time reading so many bytes and an evaluation of maps, all of which lie on the disk."""
    calls = {
        "reading it alone": lambda: list(starmap(read, sizes.items())),
        "memory map, not cached": evaluate,
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(DISK_ROUNDS):
        for name, call in calls.items():
            for path, size in sizes.items():
                forget(path, size)
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return times


def _read(path: Path) -> int:
    return sum(len(batch) for batch in dataset.dataset(path).to_batches())


def growth(files: Files, sizes, budget: int) -> list[Row]:
    context = multiprocessing.get_context("spawn")
    rows = []
    for n in track(sizes, "fitting"):
        with ProcessPoolExecutor(1, context) as pool:  # raises where the process is killed
            rows.append(pool.submit(fit_within, files.folder, n, budget).result())
    return rows


def fit_within(folder: Path, n: int, budget: int) -> Row:
    """Fit ``n`` rows of a memory map in a process that may hold no more than the budget."""
    X, y = Files(folder).memory_maps(n)
    fl.fit(np.array(X[:20_000]), np.array(y[:20_000]))  # compiles
    peak.limit(budget)
    passes: list[int] = []

    def fit():
        return fl.fit(X, y, memory_limit=budget, progress=lambda k, *_: passes.append(k))

    start = time.perf_counter()
    result, most = peak.taken(fit)
    return {
        "rows": n,
        "bytes": X.nbytes,
        "budget": budget,
        "seconds": time.perf_counter() - start,
        "passes": max(passes, default=0),
        "peak": most,
        "success": bool(result.success),
        "error": float(np.abs(result.coef - np.arange(COLUMNS)).max()),
    }


def measure(quick: bool = False) -> dict[str, list[Row]]:
    scale = 20 if quick else 1
    sizes, n, budget = (
        [s // scale for s in GROWTH],
        OBJECTIVE // scale,
        BUDGET // (4 if quick else 1),
    )
    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder))
        write(files, sizes[-1], n)
        cache(files, sizes[-1])
        return {"objectives": objectives(files, n), "growth": growth(files, sizes, budget)}


def tables(document: dict[str, list[Row]]):
    """Give each table's title, heads and rows as text."""
    found = document["objectives"]
    yield (
        f"Value and gradient over {found[0]['rows']:,} x {COLUMNS} float32, read with a budget of "
        f"a quarter of X; of what is in memory, of pyarrow alone, or of reading alone",
        ["rows from", "milliseconds", "GB/s", "share of the speed"],
        [
            [
                row["what"],
                f"{row['seconds'] * 1e3:.0f}",
                f"{row['bytes'] / row['seconds'] / 1e9:.1f}",
                "" if row["share"] is None else f"{row['share']:.2f}",
            ]
            for row in found
        ],
    )
    yield (
        f"Fits of a memory map of {COLUMNS} float32 columns with a tenth of outliers, in a process "
        f"that may hold {document['growth'][0]['budget'] / 1e9:g} GB",
        ["rows", "X", "seconds", "passes", "rows a second and pass", "peak of memory"],
        [
            [
                f"{row['rows']:,}",
                f"{row['bytes'] / 1e9:.2f} GB",
                f"{row['seconds']:.2f}",
                f"{row['passes'] or 'in memory'}",
                f"{row['rows'] * row['passes'] / row['seconds']:,.0f}" if row["passes"] else "",
                f"{row['peak'] / 1e6:.0f} MB",
            ]
            for row in document["growth"]
        ],
    )


def figure(document: dict[str, list[Row]], path: Path) -> None:
    """Draw time and memory against the number of rows."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    rows = document["growth"]
    n = [row["rows"] for row in rows]
    drawing, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    left.loglog(n, [row["seconds"] for row in rows], "o-", label="fit")
    linear = rows[-1]["seconds"] / rows[-1]["rows"]
    left.loglog(n, [linear * k for k in n], ":", color="black", label="linear")
    left.set_ylabel("seconds")
    right.loglog(n, [row["bytes"] for row in rows], "--", color="grey", label="X")
    right.loglog(n, [row["peak"] for row in rows], "o-", label="peak of memory")
    right.axhline(rows[0]["budget"], color="black", ls=":", label="budget")
    right.set_ylabel("bytes")
    for axis in (left, right):
        axis.set_xlabel("rows")
        axis.grid(alpha=0.3)
        axis.legend()
    drawing.tight_layout()
    drawing.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(show.main(__doc__, measure, tables, "a twentieth of the rows"))
