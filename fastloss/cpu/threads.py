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

# Whose call has the threads, by ``setdefault`` and ``pop``: steps that nothing comes between.
_inside: dict[str, "several"] = {}
CALL = "call"

if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks
    # A child forked while another thread compiles would wait for that thread for ever.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


class several:  # noqa: N801
    """Say whether work of this many elements may run on several threads, while it runs.

    A class, as ``contextlib.contextmanager`` takes 2 microseconds. Ctrl-C may come between any two
    steps of it, and the call ends without its ``__exit__``: so did 3 % of those that met calls of
    100,000 elements. What such a call had is taken from it by the next.
    """

    __slots__ = ("_before", "_thread", "_worth")

    def __init__(self, work: int, enough: int = ALWAYS_PARALLEL_FROM) -> None:
        self._worth = work >= enough
        self._before = 0

    def __enter__(self) -> bool:
        """Take the threads if they are free: where another thread has them, do not wait."""
        if not self._worth:
            return False
        self._thread = threading.current_thread()
        last = _inside.get(CALL)
        if last is not None and last._has_ended():
            last._give_back()
        before = numba.get_num_threads()
        count = min(before, limit())
        if count == 1 or not _safe_here() or _inside.setdefault(CALL, self) is not self:
            return False
        if count < before:
            self._before = before
            numba.set_num_threads(count)  # of this thread's calls alone
        return True

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Give the threads back.

        What a formula raises comes out of parallel kernels as the cause of a SystemError; it is
        raised as itself, as from the others.
        """
        self._give_back()
        if isinstance(error, SystemError) and error.__cause__ is not None:
            raise error.__cause__ from None

    def _has_ended(self) -> bool:
        """Whether its thread is elsewhere: a kernel is not left for another call of the thread."""
        return self._thread is threading.current_thread() or not self._thread.is_alive()

    def _give_back(self) -> None:
        if self._before and self._thread is threading.current_thread():
            numba.set_num_threads(self._before)
        if _inside.get(CALL) is self:
            _inside.pop(CALL, None)


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Let this thread's kernels take one thread, meanwhile, if that is wanted."""
    if not wanted:
        yield
        return
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
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
