"""Calls from several Python threads of one process."""

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.hazards import work
from tests.hazards.outcome import Skipped, compared

THREADS, CALLS = 6, 10


def many(expected):
    """All threads begin at once, the main one too."""
    found, together = [], threading.Barrier(THREADS + 1)

    def call():
        together.wait()
        found.extend(work.answers() for _ in range(CALLS))

    threads = [threading.Thread(target=call) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    call()
    for thread in threads:
        thread.join()
    return compared(found, expected)


def executor(expected):
    with ThreadPoolExecutor(THREADS) as pool:
        return compared(pool.map(work.answers, range(THREADS * CALLS)), expected)


def dask(expected):
    try:
        from dask import compute, delayed
    except ImportError as error:
        raise Skipped(f"no Dask: {error}") from error
    tasks = [delayed(work.answers)(number) for number in range(THREADS * CALLS)]
    return compared(compute(*tasks, scheduler="threads", num_workers=THREADS), expected)


def within_prange(expected):
    """Somebody's parallel kernel calls Python from all its threads."""
    import numba

    found = []

    def call():
        found.append(work.answers())

    @numba.njit(parallel=True)
    def loop(count):
        for _ in numba.prange(count):
            with numba.objmode():
                call()

    for _ in range(CALLS):
        loop(THREADS)
    return compared(found, expected)


def beside_parallel(expected):
    """Somebody's parallel kernel runs in turn with ours on the main thread, ours on others too."""
    import numba
    import numpy as np

    @numba.njit(parallel=True)
    def total(values):
        found = 0.0
        for i in numba.prange(values.size):
            found += values[i]
        return found

    found = []
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(work.answers) for _ in range(THREADS * CALLS)]
        for _ in range(CALLS):
            assert total(np.ones(1_000_000)) == 1_000_000
            found.append(work.answers())
        found += [future.result() for future in futures]
    return compared(found, expected)
