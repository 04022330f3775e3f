"""Rows of memory maps, whose pages are given back once they are read."""

import mmap
import sys
from collections.abc import Generator
from contextlib import closing
from typing import Any

import numpy as np

from fastloss.stream.columns import Columns, scattered
from fastloss.stream.fetched import File, fetched
from fastloss.stream.rows import Block
from fastloss.stream.slices import Slices


class Mapped(Slices):
    """Rows of arrays some of which are memory maps, see :class:`fastloss.stream.slices.Slices`.

    What the system has read from a file stays in its cache, but no longer counts as memory of this
    process.

    Parameters
    ----------
    X, y, weight
        The arrays.
    memory : int
        Bytes that may be held.
    """

    def __init__(self, X: Any, y: Any, weight: Any = None, memory: int = sys.maxsize) -> None:
        pages = _map_of(X)
        if pages is not None and scattered(X, memory):
            X = Columns(X, pages)
        super().__init__(X, y, weight)
        maps = [(array, m) for array in (X, y, weight) if (m := _map_of(array)) is not None]
        self._maps = {id(m): m for _, m in maps}
        self._files = [file for pair in maps if (file := File.of(*pair)) is not None]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the maps: what is pickled is their numbers."""
        return {**vars(self), "_maps": {}, "_files": []}

    def block(self, low: int, high: int) -> Block:
        """Read the rows from ``low`` to before ``high``."""
        for file in self._files:
            file.check()
        return super().block(low, high)

    def blocks(self, rows: int, low: int = 0) -> Generator[Block, None, None]:
        """Give blocks, see :meth:`fastloss.stream.rows.Rows.blocks`."""
        found = super().blocks(rows, low)
        with closing(fetched(found, self._files, rows, low) if self._files else found) as blocks:
            for block in blocks:
                yield block
                for pages in self._maps.values():
                    pages.madvise(mmap.MADV_DONTNEED)


def _map_of(array: Any) -> mmap.mmap | None:
    """Give the map of an array's pages, unless they have changes that no file knows."""
    if not isinstance(array, np.memmap) or array.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    pages: mmap.mmap | None = getattr(array, "_mmap", None)
    return pages
