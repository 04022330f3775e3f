"""Whether OpenMP's threads were lost in a fork.

A process that was forked has none of its parent's threads, but OpenMP counts on them: its next
parallel loop waits for ever. Other libraries start such threads too; PyTorch's and Numba's are
often those of one and the same OpenMP. So forks are watched from ``import fastloss`` on; of earlier
ones, those are noticed whose process misses the threads that Numba has started.
"""

import os
import sys
import threading
from pathlib import Path

# Who starts threads of OpenMP, and keeps them: fastloss itself, and PyTorch.
STARTERS = ("fastloss.cpu.threads", "torch")

STATUS = Path("/proc/self/stat")
FORKED_NOT_EXECUTED = 0x40  # PF_FORKNOEXEC of Linux's include/linux/sched.h

_lost = False


def lost() -> bool:
    """Whether this process was forked from one that may have had threads of OpenMP."""
    return _lost


def _started_by_numba() -> int:
    """Give how many threads Numba has started for anybody's parallel functions."""
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    if not getattr(parallel, "_is_initialized", False):
        return 0
    return int(sys.modules["numba"].config.NUMBA_NUM_THREADS)


def _after_fork() -> None:
    global _lost
    starters = any(name in sys.modules for name in STARTERS)
    _lost = _lost or starters or _started_by_numba() > 0


def _missed() -> bool:
    """Whether a fork has taken Numba's threads already, as far as Linux tells."""
    started = _started_by_numba()
    if not started:
        return False
    try:
        flags = int(STATUS.read_text().rpartition(")")[2].split()[6])
        there = len(os.listdir("/proc/self/task"))
    except (OSError, ValueError, IndexError):
        return False
    # The main thread is one of Numba's. Alone, too few threads say nothing: Numba counts as having
    # started them from the first question for their number on.
    return bool(flags & FORKED_NOT_EXECUTED) and there - (threading.active_count() - 1) < started


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks
    os.register_at_fork(after_in_child=_after_fork)
    _lost = _missed()
