"""The pages of memory maps: what they take, and what the system is told of them."""

import mmap
from contextlib import suppress
from types import ModuleType
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from fastloss.cpu.design import in_columns
from fastloss.typing import Array

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows
    resource = None

# Bytes that are mapped at a time by a thread that reads ahead.
PIECE = 1 << 22


def map_of(array: Any) -> mmap.mmap | None:
    """Give the map that an array lies in."""
    pages = getattr(array, "_mmap", None) if isinstance(array, np.memmap) else None
    return pages if isinstance(pages, mmap.mmap) else None


def shared_map_of(array: Any) -> mmap.mmap | None:
    """Give the map of an array's pages, unless they have changes that no file knows."""
    pages = map_of(array)
    shared = pages is not None and array.mode != "c" and hasattr(mmap, "MADV_DONTNEED")
    return pages if shared else None


def place(array: Any, pages: mmap.mmap) -> tuple[int, int]:
    """Give the bytes of a map between which an array's elements lie."""
    whole: Array = np.frombuffer(pages, np.uint8)
    low, high = byte_bounds(array)
    return int(low - whole.ctypes.data), int(high - whole.ctypes.data)


def span(array: Any) -> int:
    """Give the bytes from an array's first element to its last, gaps between rows too.

    To touch a number maps what lies around it: 64 KiB, or 2 MiB of a system cache of large pages.
    """
    low, high = byte_bounds(array)
    return int(high - low)


def in_large_pages(array: Any, in_blocks: bool = False) -> None:
    """Have the system read what it has not cached of a memory map in pages of 2 MB, where it can.

    Where kernels touch 1.6 GB that are not cached, the next pass over them takes 65 ms instead of
    120: that many pages are mapped with 820 interruptions so, and with 5,200 where the system reads
    as it sees fit. To be read takes as long as by a program that does nothing else.

    Parameters
    ----------
    array : object
        Left alone unless it is a memory map.
    in_blocks : bool
        Whether all is read, block after block. Else a matrix that has its columns' numbers side by
        side is left alone, too: what is read is not what is touched next.
    """
    pages = shared_map_of(array)
    if pages is None or not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    if array.flags.c_contiguous or (in_blocks and in_columns(array)):
        with suppress(OSError):  # a system without large pages
            pages.madvise(mmap.MADV_HUGEPAGE)


def read_into_cache(array: Any) -> None:
    """Have the system read a shared memory map's numbers into its cache.

    They count as memory of this process for no longer than a piece of them is read.
    """
    pages = shared_map_of(array)
    assert pages is not None
    own: Array = np.frombuffer(pages, np.uint8)
    for line in array.T if in_columns(array) else [array]:
        low, high = place(line, pages)
        for at in range(low - low % mmap.PAGESIZE, high, PIECE):
            # Of some hundred numbers and more, NumPy lets other threads go on.
            own[at : min(at + PIECE, high) : mmap.PAGESIZE].max()
            pages.madvise(mmap.MADV_DONTNEED, at, min(PIECE, len(own) - at))


def waits() -> int:
    """Count how often this process has waited for pages that were not cached, if that is known."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt if resource is not None else 0


def give_back(pages: mmap.mmap) -> None:
    """Let the pages no longer count as memory of this process; the system's cache keeps them."""
    pages.madvise(mmap.MADV_DONTNEED)
