"""Fits on a cluster whose workers are killed: whether each ends, and with the same bits.

    python bench/faults.py [--fits 50] [--seed 0] [--write docs/reliability.md]

A cluster of this machine, whose nannies start a new worker for each one that dies. An
undisturbed fit comes first; in each of the others one worker gets SIGKILL at a random moment. The
exit status is 1 if a fit does not end in time, fails, or differs in a bit.
"""

import argparse
import os
import platform
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from pathlib import Path
from typing import NamedTuple

import dask
import dask.array as da
import distributed
import numpy as np
from rich.console import Console
from rich.table import Table

import fastloss as fl

ROWS, COLUMNS, CHUNKS = 2_000_000, 20, 16
DEADLINE = 120.0
MARK = "<!-- what bench/faults.py --write puts here -->"


class Tally(NamedTuple):
    """What came of the fits."""

    fits: int
    kills: int
    hangs: int
    differences: int
    failures: int
    undisturbed: float
    median: float
    longest: float

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
    chance = random.Random(seed)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client, ThreadPoolExecutor(1) as pool:
        fit(rows, columns, chunks)  # compiles
        start = time.perf_counter()
        expected = fit(rows, columns, chunks)
        undisturbed = time.perf_counter() - start
        kills, hangs, differences, failures, seconds = 0, 0, 0, 0, []
        for _ in range(fits):
            client.wait_for_workers(2, timeout=deadline)
            start = time.perf_counter()
            running = pool.submit(fit, rows, columns, chunks)
            time.sleep(chance.uniform(0, undisturbed))
            kills += kill_one(client, chance)
            try:
                found = running.result(deadline)
                differences += not np.array_equal(found, expected)
            except Late:
                hangs += 1
                break  # nothing that follows would mean anything
            except Exception as error:
                print(f"a fit failed: {error!r}", file=sys.stderr)
                failures += 1
            seconds.append(time.perf_counter() - start)
        if hangs:
            report(Tally(fits, kills, hangs, differences, failures, undisturbed, 0.0, deadline))
            os._exit(1)  # the fit that hangs would be waited for
    longest, median = max(seconds), float(np.median(seconds))
    return Tally(fits, kills, hangs, differences, failures, undisturbed, median, longest)


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
        ("seconds of an undisturbed fit", f"{tally.undisturbed:.1f}"),
        ("seconds of the others: median", f"{tally.median:.1f}"),
        ("seconds of the others: longest", f"{tally.longest:.1f}"),
    ]


def write(path, tally, seed):
    lines = ["| what | number |", "|---|---:|"]
    lines += [f"| {name} | {value} |" for name, value in rows_of(tally)]
    lines += [
        "",
        f"Seed {seed}; {ROWS:,} rows of {COLUMNS} columns in {CHUNKS} chunks, two workers; "
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"distributed {distributed.__version__}.",
    ]
    before, _, after = path.read_text().partition(MARK)
    rest = after.partition(MARK)[2]
    path.write_text("\n".join([before + MARK, *lines, MARK + rest]))


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
