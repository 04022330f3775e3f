"""Rows of memory maps, whose pages are read ahead, and given back once they are used."""

import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from math import prod
from typing import Any

import numpy as np

from fastloss.cpu.design import in_columns
from fastloss.stream import rows as shared
from fastloss.stream.ahead import ahead
from fastloss.stream.columns import AROUND, Chosen, Columns, scattered
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
from fastloss.typing import Array

# Bytes of a map that are held while rows are copied from it.
AT_ONCE = 1 << 26
# Bytes around a number that the system reads in any case: more between rows is not read ahead.
NEAR = 1 << 16


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
        for array in arrays:
            in_large_pages(array, in_blocks=True)
        pages = shared_map_of(X)
        if pages is not None and scattered(X, len(numbers), memory):
            X = Columns(X, pages, numbers)
        elif columns is not None:
            X = Chosen(X, columns)
        self._arrays = X, y, weight
        super().__init__(X, y, weight, memory)
        # Not what is copied, which the thread that copies reads.
        seen = [a for a, s in zip(self._arrays, self._all(), strict=False) if s.in_memory]
        maps = [a for a in seen if shared_map_of(a) is not None]
        self._to_cache = maps if self.gap_bytes <= NEAR else []
        # A block of rows has two ends. Of columns each has two, around which half is, as a rule.
        self._around = AROUND * sum(a.shape[1] if in_columns(a) else 2 for a in maps)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the numbers, which are no maps where they arrive."""
        return Slices, self._arrays

    def rows_within(self, budget: int) -> int:
        """Give the most rows to a block, fewer where much is mapped around them."""
        return super().rows_within(max(budget - self._around, budget // shared.LEAST_SHARE))

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
            blocks = ahead(blocks)
        with closing(blocks):
            for block in blocks:
                self._check()
                yield block
                self._give_back()

    def _read(self, rows: int, low: int) -> Generator[Block, None, None]:
        """Read blocks: into the system's cache what lies there, as long as it has to read.

        What is cached already would be touched in vain, on a core that kernels use.
        """
        self._check()
        known = waits()
        for block in super()._read(rows, low):
            if (count := waits()) > known:
                known = count
                for array in self._to_cache:
                    read_into_cache(array[block.low : block.low + block.y.size])
            yield block
            self._check()

    def _check(self) -> None:
        for length in self._lengths:
            length.check()

    def _give_back(self) -> None:
        for pages in self._maps.values():
            give_back(pages)


def parts(vector: Array, count: int, memory: int) -> Iterator[Array]:
    """Give ``count`` numbers at a time; of a memory map copies, whose pages are given back.

    Of those, ``memory`` bytes may be held, which numbers may lie far apart in.
    """
    pages, shared_pages = map_of(vector), shared_map_of(vector)
    if pages is None:
        yield from (vector[low : low + count] for low in range(0, len(vector), count))
        return
    length = Length(vector, pages)
    step = max(1, min(AT_ONCE, memory) // max(1, abs(vector.strides[0])))
    for low in range(0, len(vector), count):
        part = vector[low : low + count]
        found: Array = np.empty(len(part), part.dtype)
        for at in range(0, len(part), step):
            length.check()
            found[at : at + step] = part[at : at + step]
            if shared_pages is not None:
                give_back(shared_pages)
        yield found


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
