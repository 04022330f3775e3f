"""Bytes of a memory map are in the system's cache before kernels touch them.

Where they are not, a page is read when it is touched, while kernels wait, and in small pieces:
those cost time whenever they are mapped again.
"""

import mmap
import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from threading import Event
from typing import Any

import numpy as np

from fastloss.stream.rows import Block
from fastloss.typing import Array

# Bytes that are read at once.
PIECE = 1 << 24
# Places of a block that show whether it is cached.
PLACES = 16


class File:
    """The file of a memory map.

    Parameters
    ----------
    array : memmap
        Whose rows are runs of bytes, one after the other.
    pages : mmap
        What it lies in.
    """

    def __init__(self, array: Any, pages: mmap.mmap) -> None:
        base: Array = np.frombuffer(pages, np.uint8)
        # Of a part of a map, NumPy's own offset is that of the whole.
        start = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
        self._path = array.filename
        self._first = start + array.ctypes.data - base.ctypes.data
        self._row = array.strides[0]
        self._end = self._first + array.nbytes
        found = self._stat()
        # One that is too short already may be another file of this name.
        whole = found is not None and found.st_size >= self._end
        self._inode = (found.st_dev, found.st_ino) if found is not None and whole else None

    def check(self) -> None:
        """Raise OSError if the file has become too short: the process would die of a bus error."""
        found = self._stat()
        if found is None or (found.st_dev, found.st_ino) != self._inode:
            return
        if found.st_size < self._end:
            raise OSError(
                f"{self._path} has become shorter than its memory map: {self._end} bytes are "
                f"mapped, and it has {found.st_size}"
            )

    def _stat(self) -> os.stat_result | None:
        with suppress(OSError):
            return os.stat(self._path)
        return None

    @classmethod
    def of(cls, array: Any, pages: mmap.mmap) -> "File | None":
        """Give the file of a map if its rows can be read beforehand."""
        known = array.filename is not None and hasattr(os, "RWF_NOWAIT")
        return cls(array, pages) if known and array.flags.c_contiguous else None

    @contextmanager
    def opened(self) -> Iterator["Opened"]:
        """Open it, twice, as looks here and there would end the system's reading ahead."""
        with (
            open(self._path, "rb", buffering=0) as look,
            open(self._path, "rb", buffering=0) as read,
        ):
            yield Opened(self, look.fileno(), read.fileno())

    def bytes_of(self, low: int, high: int) -> tuple[int, int]:
        """Give where rows begin and end, of those that there are."""
        start, end = (min(self._end, self._first + row * self._row) for row in (low, high))
        return start, end


class Opened:
    """Such a file, for a pass."""

    def __init__(self, file: File, look: int, read: int) -> None:
        self._file, self._look, self._read = file, look, read

    def has(self, low: int, high: int) -> bool:
        """Whether rows seem to be cached, or that cannot be known."""
        start, end = self._file.bytes_of(low, high)
        with suppress(OSError):
            try:
                for at in range(start, end, max(1, (end - start) // PLACES)):
                    os.preadv(self._look, [bytearray(1)], at, os.RWF_NOWAIT)
            except BlockingIOError:
                return False
        return True

    def fetch(self, low: int, high: int, stop: Event) -> bool:
        """Read rows, and say whether most were not cached; what fails here will do so later."""
        start, end = self._file.bytes_of(low, high)
        piece = memoryview(bytearray(PIECE))
        missing = 0
        with suppress(OSError):
            for at in range(start, end, PIECE):
                if stop.is_set():
                    break
                wanted = piece[: end - at]
                if not self._cached(wanted, at):
                    missing += len(wanted)
                    os.preadv(self._read, [wanted], at)
        return 2 * missing > end - start

    def _cached(self, piece: memoryview, at: int) -> bool:
        """Read a piece if it is cached; if not, the system begins to read."""
        try:
            return os.preadv(self._read, [piece], at, os.RWF_NOWAIT) == len(piece)
        except BlockingIOError:
            return False


def fetched(
    blocks: Generator[Block, None, None], files: Sequence[File], rows: int, low: int
) -> Generator[Block, None, None]:
    """Give blocks that lie in memory maps; the next one's bytes are read during work on one.

    1.6 GB that are not cached take 0.7 to 1.0 s, as they do to be read and nothing else, and 65 ms
    in the next pass; untold, 1.3 s and then 160 ms.

    Parameters
    ----------
    blocks : generator of Block
        Closed when this one is.
    files : sequence of File
        What they lie in.
    rows, low : int
        The rows of a block, and the first row.
    """
    stop = Event()
    with closing(blocks), ExitStack() as stack:
        opened: list[Opened] = []
        for file in files:
            with suppress(OSError):  # it has gone, which a map does not mind
                opened.append(stack.enter_context(file.opened()))
        pool = stack.enter_context(ThreadPoolExecutor(1, "fastloss-fetch"))
        stack.callback(stop.set)

        def fetch(low: int, high: int) -> bool:
            missing = [file.fetch(low, high, stop) for file in opened]
            return any(missing)

        def order(low: int, missing: bool) -> Future[bool] | None:
            missing = missing or not all(file.has(low, low + rows) for file in opened)
            return pool.submit(fetch, low, low + rows) if missing else None

        ordered = order(low, missing=False)
        for block in blocks:
            # What comes after rows that were not cached is not either: a look here and there would
            # only have the system begin to read there, in small pieces.
            missing = ordered is not None and ordered.result()
            for file in files:
                file.check()
            ordered = order(block.low + rows, missing)
            yield block
