"""Rows of memory maps, whose pages are given back once they are read."""

import sys
from collections.abc import Generator
from contextlib import closing
from typing import Any

from fastloss.stream.columns import Columns, scattered
from fastloss.stream.length import Length
from fastloss.stream.pages import give_back, in_large_pages, map_of
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
        maps = [(array, m) for array in (X, y, weight) if (m := map_of(array)) is not None]
        self._maps = {id(m): m for _, m in maps}
        self._lengths = [Length(*pair) for pair in maps if pair[0].filename is not None]
        for array, _ in maps:
            in_large_pages(array)
        pages = map_of(X)
        if pages is not None and scattered(X, memory):
            X = Columns(X, pages)
        super().__init__(X, y, weight)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the maps: what is pickled is their numbers."""
        return {**vars(self), "_maps": {}, "_lengths": []}

    def block(self, low: int, high: int) -> Block:
        """Read the rows from ``low`` to before ``high``."""
        self._check()
        return super().block(low, high)

    def blocks(self, rows: int, low: int = 0) -> Generator[Block, None, None]:
        """Give blocks, see :meth:`fastloss.stream.rows.Rows.blocks`."""
        with closing(super().blocks(rows, low)) as blocks:
            self._check()
            for block in blocks:
                yield block
                for pages in self._maps.values():
                    give_back(pages)
                self._check()

    def _check(self) -> None:
        for length in self._lengths:
            length.check()
