"""Whether OpenMP's threads were lost in a fork.

A process that was forked has none of its parent's threads, but OpenMP counts on them: its next
parallel loop waits for ever. Other libraries start such threads too; PyTorch's and Numba's are
often those of one and the same OpenMP. So forks are watched from ``import fastloss`` on.
"""

import os
import sys

# Who starts threads of OpenMP, and keeps them: fastloss itself, and PyTorch.
STARTERS = ("fastloss.cpu.threads", "torch")

_lost = False


def lost() -> bool:
    """Whether this process was forked from one that may have had threads of OpenMP."""
    return _lost


def _after_fork() -> None:
    global _lost
    _lost = _lost or any(name in sys.modules for name in STARTERS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
