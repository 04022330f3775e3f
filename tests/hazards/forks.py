"""Calls in processes that were forked, of parents that had done different things before."""

import os
import subprocess
import sys
import threading

from tests.hazards import work
from tests.hazards.others import KERNEL
from tests.hazards.outcome import Skipped, compared

CHILDREN = 4


def before_any_call(expected):
    return compared([*forked(expected), work.answers()], expected)


def after_calls(expected):
    """The child's own child, too."""
    first = work.answers()
    return compared([first, *forked(expected, again=True), work.answers()], expected)


def amid_calls(expected):
    """While other threads of the parent are inside kernels."""
    work.answers()
    stop, found = threading.Event(), []

    def call():
        while not stop.is_set():
            found.append(work.answers())

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    children = list(forked(expected))
    stop.set()
    for thread in threads:
        thread.join()
    return compared([*found, *children, work.answers()], expected)


def after_kernels_of_others(expected):
    """Somebody's parallel kernel has run in the parent, and none of ours."""
    exec(KERNEL, {})
    return compared(forked(expected), expected)


def before_the_import(expected):
    """The child imports fastloss first, of a parent that has run somebody's parallel kernel."""
    code = f"""
import os
{KERNEL}
for _ in range({CHILDREN}):
    child = os.fork()
    if child == 0:
        status = 3
        try:
            from tests.hazards import work
            status = 0 if work.answers() == {expected!r} else 2
        finally:
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    return compared(ended.stdout.split(), "0")


def forked(expected, again=False):
    """Fork one child after the other; give what each found, or how it ended."""
    if not hasattr(os, "fork"):
        raise Skipped("no fork here")
    for _ in range(CHILDREN):
        child = os.fork()
        if child == 0:
            status = 3
            try:
                right = work.answers() == expected
                if right and again:
                    right = list(forked(expected)) == [expected] * CHILDREN
                status = 0 if right else 2
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        yield expected if status == 0 else f"exit status {status}"
