"""Calls in the processes of pools, from a parent that has used all its threads."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.hazards import work
from tests.hazards.outcome import Skipped, compared

WORKERS, CALLS = 2, 6


def executor(method, expected):
    context = context_of(method)
    found = [work.answers()]
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        found += pool.map(work.answers, range(CALLS))
    return compared([*found, work.answers()], expected)


def context_of(method):
    if method not in multiprocessing.get_all_start_methods():
        raise Skipped(f"processes cannot start by {method} here")
    return multiprocessing.get_context(method)


def joblib(backend, expected):
    try:
        from joblib import Parallel, delayed
    except ImportError as error:
        raise Skipped(f"no joblib: {error}") from error
    found = [work.answers()]
    with Parallel(n_jobs=WORKERS, backend=backend) as parallel:
        found += parallel(delayed(work.answers)(number) for number in range(CALLS))
    return compared([*found, work.answers()], expected)


fork, spawn, forkserver = (partial(executor, method) for method in ("fork", "spawn", "forkserver"))
loky, threading, processes = (
    partial(joblib, backend) for backend in ("loky", "threading", "multiprocessing")
)
