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

from fastloss import forked
from fastloss.cpu.sizes import ALWAYS_PARALLEL_FROM
from fastloss.parallelism import limit

_entered = threading.Lock()


def _after_fork() -> None:
    global _entered
    _entered = threading.Lock()  # the parent may have held it


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks
    # A child forked while another thread compiles would wait for that thread for ever.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )
    os.register_at_fork(after_in_child=_after_fork)


class several:  # noqa: N801
    """Say whether work of this many elements may run on several threads, while it runs.

    A class, as ``contextlib.contextmanager`` takes 2 microseconds.
    """

    __slots__ = ("_before", "_held", "_worth")

    def __init__(self, work: int, enough: int = ALWAYS_PARALLEL_FROM) -> None:
        self._worth = work >= enough

    def __enter__(self) -> bool:
        """Take the threads if they are free: where another thread has them, do not wait."""
        before = numba.get_num_threads() if self._worth else 1
        count = min(before, limit()) if before > 1 else 1
        free = count > 1 and _safe_here() and _entered.acquire(blocking=False)
        # The lock itself is kept: a child that is forked meanwhile makes another.
        self._held = _entered if free else None
        self._before = before if free and count < before else 0
        if self._before:
            numba.set_num_threads(count)  # of this thread's calls alone
        return free

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Give the threads back.

        What a formula raises comes out of parallel kernels as the cause of a SystemError; it is
        raised as itself, as from the others.
        """
        if self._before:
            numba.set_num_threads(self._before)
        if self._held is not None:
            self._held.release()
        if isinstance(error, SystemError) and error.__cause__ is not None:
            raise error.__cause__ from None


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Let this thread's kernels take one thread, meanwhile, if that is wanted."""
    if not wanted:
        yield
        return
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def _safe_here() -> bool:
    """Other code's parallel functions do not know our lock, so workqueue is for one thread."""
    main = threading.current_thread() is threading.main_thread()
    return not forked.lost() and (main or layer() in ("omp", "tbb"))


def layer() -> str | None:
    """Name the threading layer, or None before the first parallel call decides it."""
    try:
        return str(numba.threading_layer())
    except ValueError:
        return None
