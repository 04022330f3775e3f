"""Rows of Parquet files, in blocks whatever the files' row groups are."""

import tempfile
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle
from os import PathLike
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import dataset

from fastloss.arrays import caller_level
from fastloss.columns import choose
from fastloss.model import check_matrix
from fastloss.parallelism import limit
from fastloss.stream import rows as shared
from fastloss.stream.ahead import ahead
from fastloss.stream.files import Files
from fastloss.stream.pace import paced
from fastloss.stream.part import Part
from fastloss.stream.rows import ALIVE, Block, Rows
from fastloss.typing import Array

# Rows of a batch: wide tables have shorter ones, but as many rows as a page of theirs has, or
# what a batch costs in Python shows.
BATCH_BYTES = 1 << 23
LEAST_ROWS, MOST_ROWS = 1 << 14, 1 << 17
# Of a block.
BLOCK_BYTES = 1 << 24
# What a column's pages are read through.
BUFFER = 1 << 16
LEAST_BUFFER = 1 << 12
# For each thread, so that one with wide columns keeps no other waiting.
PARTS = 2
# What Arrow holds for a column: a page, and a dictionary as it is in the file and decoded, each of
# 1 MiB as it writes them; and what its allocator keeps. A pass over 20 columns grew by 50
# (uncompressed) to 170 MB (snappy) beside the blocks; over 300 columns of 100,000 rows in one group
# by 580, without dictionaries by 100, in groups of 5,000 by 70 to 100. Arrow's own scanner of
# data sets holds row groups as well: 20 columns took 700 to 900 MB, with short readahead 250.
PAGE = 1 << 20
KEPT = 1 << 26


class Parquet:
    """Rows of the columns of Parquet files.

    Missing values are NaN. Only the columns asked for are read, in the dtype that holds the numbers
    of all files.

    Parameters
    ----------
    source : path or pyarrow.dataset.Dataset
        A file, a folder of files, or a data set of them. What the names of folders say, as in
        ``k=1/part.parquet``, is not read.
    target : str
        The column to predict.
    features : sequence of str, optional
        The columns of X; default all others, in the first file's order.
    weight : str, optional
        The column of weights.

    Raises
    ------
    OSError
        If a file cannot be read, naming it.
    TypeError
        If a column does not hold numbers.
    ValueError
        If a column is not there, is given or found twice, or there are no files or rows; or if
        ``features`` is not given and there are columns beside those of the first file.
    """

    def __init__(
        self,
        source: str | PathLike[str] | dataset.Dataset,
        target: str,
        features: Sequence[str] | None = None,
        weight: str | None = None,
    ) -> None:
        self._files = Files(source)
        schema = self._files.schema
        if features is None:
            self._files.check_others()
        self.features = tuple(choose(self._files.name, schema.names, target, features, weight))
        self.vectors = (target,) if weight is None else (target, weight)
        self._names = (*self.features, *self.vectors)
        self._dtypes = self._files.dtypes(self._names)
        self._most = self._files.most_of_a_group(self._names)
        self._buffer_bytes = min(BUFFER, max(LEAST_BUFFER, self._most.column_bytes))
        check_matrix(self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        return self._files.rows, len(self.features)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the blocks of X."""
        return np.result_type(*(self._dtypes[name] for name in self.features))

    @property
    def block_bytes(self) -> int:
        """What stays in the last cache: 5,000,000 x 20 float32 take 0.13 s so, 0.19 in 56 MB."""
        return BLOCK_BYTES

    def rows_within(self, budget: int) -> int:
        """Give the most rows to a block with which a pass holds about ``budget`` bytes."""
        row = self._row_bytes()
        beside = self.least_memory() + 2 * row * self._batch_rows() + KEPT
        return shared.rows_within(budget, row, beside)

    def least_memory(self) -> int:
        """Give the bytes of pages that are held beside the blocks."""
        return len(self._names) * self.column_bytes

    def spilled(self, memory: int) -> Rows:
        """Write them into a temporary file."""
        # It builds upon this module.
        from fastloss.stream.spilled import Spilled

        size = self.shape[0] * self._row_bytes()
        warnings.warn(
            f"{size / 1e6:,.0f} MB are written into a temporary file in {tempfile.gettempdir()}: "
            f"columns of row groups as long as those of X take {self.least_memory() / 1e6:,.0f} MB "
            f"to be read side by side, where memory_limit is {memory / 1e6:,.0f} MB. Write X in "
            "shorter row groups, or raise the limit, to do without",
            stacklevel=caller_level(),
        )
        return Spilled(self, memory)

    @property
    def column_bytes(self) -> int:
        """Those that are held of a column."""
        pages = 3 if self._most.dictionaries else 1
        return self._buffer_bytes + pages * min(PAGE, 8 * self._most.rows)

    def dtype_of(self, name: str) -> np.dtype[Any]:
        """Give the dtype of a column's numbers."""
        return self._dtypes[name]

    def block(self, low: int, high: int) -> Block:
        """Read the rows from ``low`` to before ``high``, and what their row groups have before."""
        shared.check_range(self.shape[0], low, high)
        with closing(self._read(high - low, low)) as blocks:
            return next(blocks)

    def blocks(self, rows: int, low: int = 0) -> Generator[Block, None, None]:
        """Give blocks of ``rows`` rows in order, see :meth:`fastloss.stream.rows.Rows.blocks`."""
        shared.check_blocks(self.shape[0], rows, low)
        return paced(ahead(self._read(rows, low), ALIVE - 1))

    def columns(self, names: Sequence[str], out: Array) -> Generator[tuple[int, Array], None, None]:
        """Give only some columns, each as a row of ``out``: as many numbers as there is room for.

        Yields
        ------
        low : int
            The number of the first row.
        columns : ndarray
            A part of ``out`` or all of it, which is used again.
        """
        n, rows = self.shape[0], out.shape[1]
        part = self._part(names, rows, 0)
        for low in range(0, n, rows):
            columns = out[:, : n - low]
            part.fill(list(columns))
            yield low, columns

    def where(self, row: int, first: int = 0) -> str:
        """Say in which file a row lies, and as which of its rows."""
        file = self._files.of_row(row)
        number = f"row {row - file.low + first} " if file.low else ""
        return f"{number}in {file.path}"

    def _read(self, rows: int, low: int) -> Generator[Block, None, None]:
        """Read on several threads, each some of the columns, from the pages right into the block.

        5,000,000 x 20 float32 come at about 0.8 of Arrow's scanner's own speed in blocks of
        200,000 rows and at 0.7 in blocks of 700,000, where copying batches on one thread left 0.6.
        """
        n, p = self.shape
        most = min(rows, n - low)
        buffers = cycle([self._buffer(most) for _ in range(ALIVE)])
        threads = min(pa.cpu_count(), limit())
        count = min(len(self._names), PARTS * threads)
        batch = self._batch_rows(rows)
        parts = [self._part(self._names[i::count], batch, low) for i in range(count)]
        with ThreadPoolExecutor(threads, "fastloss-parquet") as pool:
            for at in range(low, n, rows):
                size = min(rows, n - at)
                flat, *vectors = (array[: array.size // most * size] for array in next(buffers))
                # The last block, too, has columns without gaps: kernels are compiled for that.
                X = flat.reshape(p, size).T
                columns = [*X.T, *vectors]
                each = [(part, columns[i::count]) for i, part in enumerate(parts)]
                deque(pool.map(lambda job: job[0].fill(job[1]), each), 0)
                yield Block(at, X, vectors[0], vectors[1] if vectors[1:] else None)

    def _part(self, names: Sequence[str], rows: int, low: int) -> Part:
        return Part(names, self._files.batches(names, rows, self._buffer_bytes, low))

    def _batch_rows(self, block: int = LEAST_ROWS) -> int:
        """Give the rows of a batch at most, for all of which Arrow takes memory at once.

        Those of wide tables are no longer than a block.
        """
        least = min(LEAST_ROWS, block)
        rows = min(MOST_ROWS, max(least, BATCH_BYTES // self._row_bytes()))
        return max(1, min(rows, self._most.rows))

    def _buffer(self, rows: int) -> list[Array]:
        X: Array = np.empty(rows * len(self.features), self.dtype)
        return [X, *(np.empty(rows, self._dtypes[name]) for name in self.vectors)]

    def _row_bytes(self) -> int:
        vectors = (self._dtypes[name].itemsize for name in self.vectors)
        return len(self.features) * self.dtype.itemsize + sum(vectors)
