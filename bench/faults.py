"""Fits on a cluster whose workers are killed: whether each ends, and with the same bits.

    python bench/faults.py [--fits 50] [--seed 0] [--write docs/reliability.md]

A cluster of this machine, whose nannies start a new worker for each one that dies. An
undisturbed fit comes first; in each of the others one worker gets SIGKILL at a random moment. The
exit status is 1 if a fit does not end in time, fails, or differs in a bit.
"""

import argparse
import logging
import os
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import dask
import dask.array as da
import distributed
import numpy as np
from rich.console import Console
from rich.table import Table

import fastloss as fl
from bench.page import MACHINE, put, table

WORKERS = 2
ROWS, COLUMNS, CHUNKS = 2_000_000, 20, 16
DEADLINE = 120.0
# Seconds until a nanny has to have brought a worker back, and until it has taken note of that.
BACK, SETTLED = 30.0, 0.5
MARK = "<!-- what bench/faults.py --write puts here -->"


@dataclass
class Tally:
    """What came of the fits."""

    fits: int = 0
    kills: int = 0
    hangs: int = 0
    differences: int = 0
    failures: int = 0
    lost: int = 0
    undisturbed: float = 0.0
    seconds: list[float] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.hangs or self.differences or self.failures)


def load(rows, columns, block_info=None):
    """Make a chunk, as often as it is lost."""
    which = block_info[None]["chunk-location"][0]
    rng = np.random.default_rng(which)
    block = rng.standard_normal((rows, columns + 1))
    block[:, columns] += block[:, :columns].sum(axis=1)
    block[::10, columns] += 50.0
    return block


def problem(rows, columns, chunks):
    each = rows // chunks
    data = da.map_blocks(
        load,
        each,
        columns,
        chunks=((each,) * chunks, (columns + 1,)),
        dtype=float,
        meta=np.empty((0, 0)),
    )
    return data[:, :columns], data[:, columns]


def fit(rows, columns, chunks):
    X, y = dask.persist(*problem(rows, columns, chunks))
    return fl.fit(X, y, fl.SmoothL1Loss()).x


def kill_one(client, chance):
    """Kill a worker; say whether there was one."""
    pids = [info["pid"] for info in client.run(_identity, on_error="ignore").values()]
    if not pids:
        return False
    os.kill(chance.choice(sorted(pids)), signal.SIGKILL)
    return True


def _identity():
    return {"pid": os.getpid()}


def experiment(fits, seed, rows=ROWS, columns=COLUMNS, chunks=CHUNKS, deadline=DEADLINE):
    """Fit undisturbed, then ``fits`` times with a kill each."""
    chance, tally = random.Random(seed), Tally()
    one = partial(fit, rows, columns, chunks)
    expected = None
    while tally.fits < fits and not tally.hangs:
        cluster = distributed.LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )
        with cluster, distributed.Client(cluster) as client, ThreadPoolExecutor(1) as pool:
            if expected is None:
                one()  # compiles
                start = time.perf_counter()
                expected = one()
                tally.undisturbed = time.perf_counter() - start
            while tally.fits < fits and _complete(client, tally):
                disturbed(pool, one, expected, client, chance, tally, deadline)
                if tally.hangs:
                    report(tally)
                    os._exit(1)  # or the fit that hangs would be waited for
    return tally


def _complete(client, tally):
    """Wait for all workers; a nanny may fail to bring one back, which takes another cluster."""
    try:
        client.wait_for_workers(WORKERS, timeout=BACK)
    except TimeoutError:
        tally.lost += 1
        return False
    time.sleep(SETTLED)
    return True


def disturbed(pool, one, expected, client, chance, tally, deadline):
    """Fit once, with a kill."""
    tally.fits += 1
    start = time.perf_counter()
    running = pool.submit(one)
    time.sleep(chance.uniform(0, tally.undisturbed))
    tally.kills += kill_one(client, chance)
    try:
        tally.differences += not np.array_equal(running.result(deadline), expected)
    except TimeoutError:
        tally.hangs += 1
    except Exception as error:
        print(f"a fit failed: {error!r}", file=sys.stderr)
        tally.failures += 1
    tally.seconds.append(time.perf_counter() - start)


def report(tally):
    table = Table("what", "number", title="fits whose workers are killed")
    for name, value in rows_of(tally):
        table.add_row(name, value)
    Console().print(table)


def rows_of(tally):
    return [
        ("fits", f"{tally.fits}"),
        ("workers killed", f"{tally.kills}"),
        ("fits that did not end", f"{tally.hangs}"),
        ("fits that differ in a bit", f"{tally.differences}"),
        ("fits that failed", f"{tally.failures}"),
        ("workers that their nanny did not bring back", f"{tally.lost}"),
        ("seconds of an undisturbed fit", f"{tally.undisturbed:.1f}"),
        ("seconds of the others: median", f"{np.median(tally.seconds):.1f}"),
        ("seconds of the others: longest", f"{max(tally.seconds):.1f}"),
    ]


def write(path, tally, seed):
    lines = [
        *table(["what", "number"], rows_of(tally), right=1),
        "",
        f"Seed {seed}; {ROWS:,} rows of {COLUMNS} columns in {CHUNKS} chunks, two workers; "
        f"{MACHINE}, "
        f"distributed {distributed.__version__}.",
    ]
    put(path, MARK, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    tally = experiment(options.fits, options.seed)
    report(tally)
    if options.write:
        write(options.write, tally, options.seed)
    sys.exit(0 if tally.good else 1)


if __name__ == "__main__":
    main()
