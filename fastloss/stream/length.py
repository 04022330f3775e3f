"""The file of a memory map, which may have become shorter."""

import mmap
from typing import Any

from fastloss.stream.pages import place


class Length:
    """The bytes that the file of a memory map must have.

    Parameters
    ----------
    array : memmap
        The array.
    pages : mmap
        What it lies in, which knows its file by whatever name it has now.
    """

    def __init__(self, array: Any, pages: mmap.mmap) -> None:
        # Of a part of a map, NumPy's own offset is that of the whole.
        start = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
        self._path, self._pages = array.filename, pages
        self._end = start + place(array, pages)[1]

    def check(self) -> None:
        """Raise OSError if the file is too short: the process would die of a bus error."""
        found = self._pages.size()
        if found < self._end:
            raise OSError(
                f"{self._path or 'a file'} has become shorter than its memory map: {self._end} "
                f"bytes are mapped, and it has {found}"
            )
