"""How many of the processor's cores a call may use.

What limits all libraries limits this one: the cores that the process may run on, the share of them
that a container grants, and ``OMP_NUM_THREADS``, which Numba does not look at. Below that ceiling,
users say what they want, for the process or for some calls. Results have the same bits for any
number.
"""

import math
import os
from contextlib import ContextDecorator
from contextvars import ContextVar
from functools import cache

from fastloss import container
from fastloss.interrupts import import_whole

__all__ = ["get_num_threads", "set_num_threads", "threads"]

_everywhere: int | None = None
# Those of the blocks that this is within, the innermost last.
_here: ContextVar[tuple[int, ...]] = ContextVar("fastloss_threads", default=())

NO_LIMIT = 2**31


def _openmp() -> int:
    """Give the first number of OMP_NUM_THREADS, which may be a list for nested loops."""
    number = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(number) if number.isdecimal() and int(number) > 0 else NO_LIMIT


# Read once, as OpenMP does: whoever starts a cluster of Dask finds it changed to 1 from then on, in
# his own process too (distributed's Nanny sets it for the workers that it spawns).
OPENMP = _openmp()


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# OpenMP binds each of its threads to a core where it is told to, Python's own as soon as it is
# loaded: what that one may run on is not what the process may any more.
BINDING = "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"
_AT_FIRST = _affinity() if any(os.environ.get(name) for name in BINDING) else None


def set_num_threads(count: int) -> None:
    """Let the calls of all this process's threads use so many threads each, at most.

    Parameters
    ----------
    count : int
        At least 1. What is beyond the ceiling (see :func:`get_num_threads`) has no effect.

    Raises
    ------
    TypeError
        If ``count`` is not an integer.
    ValueError
        If it is less than 1.

    See Also
    --------
    threads : For some calls.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.set_num_threads(1)
    >>> fl.get_num_threads()
    1
    >>> fl.set_num_threads(1_000_000)  # as many as there are
    """
    global _everywhere
    _everywhere = _checked(count)


class threads(ContextDecorator):  # noqa: N801
    """Let calls within a block or a function use so many threads, whatever was said for all.

    A context manager and a decorator. Calls of this Python thread, or of this task of asyncio, are
    meant: others go on as before.

    Parameters
    ----------
    count : int
        At least 1. What is beyond the ceiling (see :func:`get_num_threads`) has no effect.

    Raises
    ------
    TypeError
        If ``count`` is not an integer.
    ValueError
        If it is less than 1.

    Examples
    --------
    >>> import fastloss as fl
    >>> with fl.threads(1):
    ...     print(fl.get_num_threads())
    1
    """

    def __init__(self, count: int) -> None:
        self._count = _checked(count)

    def __enter__(self) -> None:
        """Begin a block; there may be several of one object, within each other or in threads."""
        _here.set((*_here.get(), self._count))

    def __exit__(self, *_: object) -> None:
        """Go back to what was said before."""
        _here.set(_here.get()[:-1])


def get_num_threads() -> int:
    """Give how many threads a large call may use, made here and now.

    The least of what was asked for by :class:`threads`, or else by :func:`set_num_threads`, or
    else by ``numba.set_num_threads``; and of the ceiling: the cores that this process may run on
    (its affinity), the cores that its control group may use, rounded up, ``OMP_NUM_THREADS``,
    ``NUMBA_NUM_THREADS``.

    Returns
    -------
    int
        At least 1. Small calls use one thread in any case.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.get_num_threads() >= 1
    True
    """
    import_whole("numba")
    import numba

    return min(int(numba.get_num_threads()), limit())


def limit() -> int:
    """Give the least of all that is known without Numba."""
    blocks = _here.get()
    asked = blocks[-1] if blocks else _everywhere
    ceiling = min(cores(), _quota(), OPENMP)
    return ceiling if asked is None else min(asked, ceiling)


def _checked(count: int) -> int:
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise TypeError(f"count must be an integer, got {type(count).__name__}")
    try:
        number = count.__index__()
    except TypeError:  # arrays have the method, and refuse by it
        raise TypeError(f"count must be an integer, got {type(count).__name__}") from None
    if number < 1:
        raise ValueError(f"count must be at least 1, got {number}")
    return number


def cores() -> int:
    """Give the cores that this process may run on."""
    # Asked each time, in less than a microsecond: it may change while a process runs.
    return _AT_FIRST or _affinity()


@cache
def _quota() -> int:
    """Give the cores that the process's control group may use, rounded up, as Linux tells them."""
    files = "cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"
    least = min(map(_share, container.settings("cpu", *files)), default=math.inf)
    return max(1, math.ceil(least)) if math.isfinite(least) else NO_LIMIT


def _share(words: list[str]) -> float:
    """Give quota by period; infinity where there is no quota ("max", or -1)."""
    try:
        quota, period = words
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (ValueError, ZeroDivisionError):
        return math.inf
