"""Rows of memory maps, whose pages are read ahead, and given back once they are used."""

import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from math import prod
from typing import Any

import numpy as np

from fastloss.stream import rows as shared
from fastloss.stream.ahead import ahead
from fastloss.stream.columns import Chosen, Columns, scattered
from fastloss.stream.length import Length
from fastloss.stream.pages import (
    give_back,
    in_large_pages,
    map_of,
    read_into_cache,
    shared_map_of,
    waits,
)
from fastloss.stream.rows import Block
from fastloss.stream.slices import Slices

# Bytes of a map that are held while rows are copied from it.
AT_ONCE = 1 << 26
# Bytes around a number that the system reads in any case: more between rows is not read ahead.
AROUND = 1 << 16


class Mapped(Slices):
    """Rows of arrays some of which are memory maps, see :class:`fastloss.stream.slices.Slices`.

    What the system has read from a file stays in its cache, but no longer counts as memory of this
    process. While it has to read, a thread waits for the next block's pages.

    Parameters
    ----------
    X, y, weight
        The arrays.
    memory : int
        Bytes that may be held.
    columns : sequence of int, optional
        Which columns of X are meant, all by default.

    Attributes
    ----------
    gap_bytes : int
        Bytes of maps between the numbers of a row, such as the other columns of a wider array.
    """

    gap_bytes: int

    def __init__(
        self,
        X: Any,
        y: Any,
        weight: Any = None,
        memory: int = sys.maxsize,
        columns: Sequence[int] | None = None,
    ) -> None:
        arrays = [X, y, weight]
        self._lengths = [Length(a, m) for a in arrays if (m := map_of(a)) is not None]
        self._maps = {id(m): m for a in arrays if (m := shared_map_of(a)) is not None}
        numbers = range(prod(np.shape(X)[1:])) if columns is None else columns
        self.gap_bytes = _gaps(arrays, len(numbers))
        near = self.gap_bytes <= AROUND
        self._to_cache = [a for a in arrays if near and shared_map_of(a) is not None]
        for array in arrays:
            in_large_pages(array, in_blocks=True)
        pages = shared_map_of(X)
        if pages is not None and scattered(X, len(numbers), memory):
            X = Columns(X, pages, numbers)
        elif columns is not None:
            X = Chosen(X, columns)
        self._arrays = X, y, weight
        super().__init__(X, y, weight)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the numbers, which are no maps where they arrive."""
        return Slices, self._arrays

    def row_bytes(self) -> int:
        """Give the bytes of a row, and of what lies before the next one."""
        return super().row_bytes() + self.gap_bytes

    def block(self, low: int, high: int) -> Block:
        """Read the rows from ``low`` to before ``high``; of many, the pages are given back."""
        shared.check_range(self.shape[0], low, high)
        step = max(1, AT_ONCE // max(1, self.row_bytes()))
        if high - low <= step or not self._maps:
            return super().block(low, high)
        room: list[Any] = []
        for at in range(low, high, step):
            arrays: list[Any] = list(super().block(at, min(high, at + step)))[1:]
            room = room or [
                None if a is None else np.empty_like(a, shape=(high - low, *a.shape[1:]))
                for a in arrays
            ]
            for whole, part in zip(room, arrays, strict=True):
                if part is not None:
                    whole[at - low : at - low + len(part)] = part
            self._give_back()
        return Block(low, *room)

    def blocks(self, rows: int, low: int = 0) -> Generator[Block, None, None]:
        """Give blocks, see :meth:`fastloss.stream.rows.Rows.blocks`."""
        blocks = super().blocks(rows, low)
        if self._in_memory() and self._to_cache:
            blocks = ahead(self._cached(blocks))
        with closing(blocks):
            for block in blocks:
                self._check()
                yield block
                self._give_back()

    def _cached(self, blocks: Generator[Block, None, None]) -> Generator[Block, None, None]:
        """Read blocks into the system's cache, as long as it has to read.

        What is cached already would be touched in vain, on a core that kernels use.
        """
        known = waits()
        with closing(blocks):
            for block in blocks:
                if (count := waits()) > known:
                    known = count
                    for array in self._to_cache:
                        read_into_cache(array[block.low : block.low + block.y.size])
                yield block

    def _read(self, rows: int, low: int) -> Generator[Block, None, None]:
        self._check()
        for block in super()._read(rows, low):
            yield block
            self._check()

    def _check(self) -> None:
        for length in self._lengths:
            length.check()

    def _give_back(self) -> None:
        for pages in self._maps.values():
            give_back(pages)


def _gaps(arrays: list[Any], columns: int) -> int:
    """Give the bytes of maps that lie between the numbers of a row, and are mapped with them."""
    pitch: dict[int, int] = {}
    used: dict[int, int] = {}
    for array, count in zip(arrays, (columns, 1, 1), strict=True):
        pages = map_of(array)
        if pages is not None and array.ndim:
            k = id(pages)
            pitch[k] = max(pitch.get(k, 0), abs(array.strides[0]))
            used[k] = used.get(k, 0) + count * array.itemsize
    return sum(max(0, pitch[k] - used[k]) for k in pitch)
