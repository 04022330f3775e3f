"""Rows of Parquet files, in blocks whatever the files' row groups are."""

import tempfile
import warnings
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing
from os import PathLike
from typing import Any

import numpy as np
from pyarrow import dataset

from fastloss.arrays import caller_level
from fastloss.columns import choose
from fastloss.cpu.apart import Apart
from fastloss.model import check_matrix
from fastloss.stream import rows as shared
from fastloss.stream.ahead import ahead
from fastloss.stream.batches import Batches
from fastloss.stream.files import Files
from fastloss.stream.pace import paced
from fastloss.stream.part import Part
from fastloss.stream.parts import Parts
from fastloss.stream.rows import ALIVE, Block, Rows
from fastloss.typing import Array

# Rows that are decoded at once where they are copied: fewer of wide tables, but as many as a page
# of theirs has, or what a batch costs in Python shows.
BATCH_BYTES = 1 << 23
LEAST_ROWS, MOST_ROWS = 1 << 14, 1 << 17
# Of a block: 10,000,000 x 20 float32 take 0.26 to 0.28 s in blocks of 25 to 50 MB, 0.31 in 13 MB
# and 0.4 in 6 MB. More makes Arrow's allocator ask the system for memory at times.
BLOCK_BYTES = 3 << 24
# Row groups that a block may take from Arrow at once. More are copied one by one, as Arrow's arrays
# grow from group to group, by twice their size: 10,000,000 x 4 float64 in groups of 50,000 took 290
# to 310 MB in blocks of 627,000, and take 180 to 270 so, and 15 % longer.
SPANNED = 4
# What a column's pages are read through.
BUFFER = 1 << 16
LEAST_BUFFER = 1 << 12
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
        found = self._files.dtypes((*self.features, *self.vectors))
        X = np.result_type(*(found[name] for name in self.features))
        self._dtypes = dict.fromkeys(self.features, X)
        self._dtypes |= {name: found[name] for name in self.vectors}
        self._most = self._files.most_of_a_group(list(found))
        self._buffer_bytes = min(BUFFER, max(LEAST_BUFFER, self._most.column_bytes))
        check_matrix(self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        return self._files.rows, len(self.features)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the blocks of X."""
        return self._dtypes[self.features[0]]

    @property
    def block_bytes(self) -> int:
        """So much that what a block costs in Python and in waiting does not show."""
        return BLOCK_BYTES

    def rows_within(self, budget: int) -> int:
        """Give the most rows to a block with which a pass holds about ``budget`` bytes."""
        row = self._row_bytes()
        beside = self.least_memory() + 2 * row * self._batch_rows() + KEPT
        # Blocks have memory of their own: one is made while the last is still held by its reader.
        return shared.rows_within(budget, row, beside, ALIVE + 1)

    def least_memory(self) -> int:
        """Give the bytes of pages that are held beside the blocks."""
        return len(self._dtypes) * self.column_bytes

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
        rows = high - low
        X: Array = np.empty((len(self.features), rows), self.dtype)
        y, *weight = vectors = [np.empty(rows, self._dtypes[name]) for name in self.vectors]
        with self._parts(low) as parts:
            parts.fill([*X, *vectors], self._batch_rows(rows))
        return Block(low, X.T, y, weight[0] if weight else None)

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
        with closing(Part(dict.fromkeys(names, out.dtype), self._batches(names, 0))) as part:
            for low in range(0, n, rows):
                columns = out[:, : n - low]
                part.fill(list(columns), rows)
                yield low, columns

    def where(self, row: int, first: int = 0) -> str:
        """Say in which file a row lies, and as which of its rows."""
        file = self._files.of_row(row)
        number = f"row {row - file.low + first} " if file.low else ""
        return f"{number}in {file.path}"

    def _read(self, rows: int, low: int) -> Generator[Block, None, None]:
        """Have Arrow decode whole blocks, and leave them where they are.

        20,000,000 x 20 float32 take 0.55 s so, evaluation included, where reading them by Arrow's
        scanner takes 0.5 at best; 0.75 where batches are copied into blocks.
        """
        n, p = self.shape
        most = rows if rows <= SPANNED * self._most.rows else self._most.rows
        with self._parts(low) as parts:
            for at in range(low, n, rows):
                columns = parts.take(min(rows, n - at), most)
                y, *weight = columns[p:]
                yield Block(at, Apart(columns[:p]), y, weight[0] if weight else None)

    def _parts(self, low: int) -> AbstractContextManager[Parts]:
        return Parts.of(self._dtypes, lambda names: self._batches(names, low))

    def _batches(self, names: Sequence[str], low: int) -> Batches:
        return self._files.batches(names, self._buffer_bytes, low)

    def _batch_rows(self, block: int = LEAST_ROWS) -> int:
        """Give the rows of a batch at most, for all of which Arrow takes memory at once.

        Those of wide tables are no longer than a block.
        """
        least = min(LEAST_ROWS, block)
        rows = min(MOST_ROWS, max(least, BATCH_BYTES // self._row_bytes()))
        return max(1, min(rows, self._most.rows))

    def _row_bytes(self) -> int:
        return sum(dtype.itemsize for dtype in self._dtypes.values())
