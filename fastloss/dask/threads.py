"""How many threads a task's kernels may use.

A scheduler already has a task for each core, in threads or in processes. Parallel kernels within
tasks would fight for the same cores.
"""

import multiprocessing
import threading
from contextlib import AbstractContextManager

from fastloss.cpu.threads import one_thread


def fair_share() -> AbstractContextManager[None]:
    """Use one thread, unless this is the only task: one of the synchronous scheduler's."""
    return one_thread(_is_one_of_many())


def _is_one_of_many() -> bool:
    """Whether this is a pool's thread, or a process that another one has started."""
    main = threading.current_thread() is threading.main_thread()
    return not main or multiprocessing.parent_process() is not None
