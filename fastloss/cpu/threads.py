"""When a kernel may run on several threads.

Numba's threading layers have hazards: ``workqueue`` aborts the process when two Python threads
enter it, and under ``omp`` a process forked after a parallel call is killed at its own first one.
Serial and parallel kernels give the same bits, so wherever it is not known to be safe, or not
worth the start of the threads, the serial kernel runs.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numba
from numba.core.compiler_lock import global_compiler_lock

# Elements from which two threads beat one. The gradient of 65,536 float32 takes 15.9 microseconds
# on one thread and 11.2 on two, of 32,768 6.6 and 13.8; value and gradient 36.7 and 23.5, 14.5 and
# 22.4.
PARALLEL_FROM = 1 << 16

_entered = threading.Lock()
_forked = False


def _after_fork() -> None:
    global _forked, _entered
    _forked = True
    _entered = threading.Lock()  # the parent may have held it


if hasattr(os, "register_at_fork"):
    # A child forked while another thread compiles would wait for that thread for ever.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def several(work: int) -> Iterator[bool]:
    """Say whether work of this many elements may run on several threads, while it runs."""
    # If another thread is inside, its cores are taken: do not wait for them.
    entered = _worth_it(work) and _safe_here() and _entered.acquire(blocking=False)
    try:
        yield entered
    finally:
        if entered:
            _entered.release()


def _worth_it(work: int) -> bool:
    return work >= PARALLEL_FROM and numba.get_num_threads() > 1


def _safe_here() -> bool:
    """Other code's parallel functions do not know our lock, so workqueue is for one thread."""
    main = threading.current_thread() is threading.main_thread()
    return not _forked and (main or layer() in ("omp", "tbb"))


def layer() -> str | None:
    """Name the threading layer, or None before the first parallel call decides it."""
    try:
        return str(numba.threading_layer())
    except ValueError:
        return None
