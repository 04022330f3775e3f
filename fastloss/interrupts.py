"""What Ctrl-C must not interrupt: imports and compilations.

Modules that are half imported, and Numba's tables that are half filled, stay so until the process
ends: no later call would work. Ctrl-C waits for their end, which takes seconds at the first calls.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType, ModuleType

__all__ = ["held_back", "import_whole"]


@contextmanager
def held_back() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block, as far as it is this thread that hears it."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    heard: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if heard:
            handler(*heard[0])


def import_whole(name: str) -> ModuleType:
    """Give a module, whole: where another thread is importing it, wait for its end."""
    if name in sys.modules:
        return import_module(name)
    with held_back():
        return import_module(name)
