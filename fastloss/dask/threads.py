"""How many threads a task's kernels may use.

A scheduler already has a task for each core, in threads or in processes. Parallel kernels within
tasks would fight for the same cores.
"""

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numba


@contextmanager
def fair_share() -> Iterator[None]:
    """Use one thread, unless this is the only task: one of the synchronous scheduler's."""
    if not _is_one_of_many():
        yield
        return
    before = numba.get_num_threads()
    numba.set_num_threads(1)  # of this thread's calls alone
    try:
        yield
    finally:
        numba.set_num_threads(before)


def _is_one_of_many() -> bool:
    """Whether this is a pool's thread, or a process that another one has started."""
    main = threading.current_thread() is threading.main_thread()
    return not main or multiprocessing.parent_process() is not None
