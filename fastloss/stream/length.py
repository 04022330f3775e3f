"""The file of a memory map, which may become shorter."""

import mmap
import os
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from fastloss.typing import Array


class Length:
    """The bytes that the file of a memory map must have.

    Parameters
    ----------
    array : memmap
        With a file that has a name.
    pages : mmap
        What it lies in.
    """

    def __init__(self, array: Any, pages: mmap.mmap) -> None:
        base: Array = np.frombuffer(pages, np.uint8)
        # Of a part of a map, NumPy's own offset is that of the whole.
        start = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
        self._path = array.filename
        self._end = start + byte_bounds(array)[1] - base.ctypes.data
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
