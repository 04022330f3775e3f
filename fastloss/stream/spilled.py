"""Rows of wide Parquet files, written once into a file whose rows can be read by themselves.

Of Parquet no less can be read than a page of each column, and its dictionary: of thousands of
columns more than there may be memory. So they are read some at a time, and then never again: a fit
of 1,000,000 x 300 in one row group took 27 s and 290 MB with a limit of 500 MB; side by side 54 s
and 830 MB.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

import numpy as np
import pyarrow as pa

from fastloss.parallelism import limit
from fastloss.stream.mapped import Mapped
from fastloss.stream.parquet import Parquet
from fastloss.stream.pools import each
from fastloss.stream.tiles import MOST_ROWS, Tiles
from fastloss.typing import Array

# Of the budget, what the columns may take that are read at a time.
SHARE = 0.25


class Spilled(Mapped):
    """Rows of Parquet in a temporary file, which goes with this object.

    Parameters
    ----------
    source : Parquet
        The rows.
    memory : int
        Bytes that may be held meanwhile.
    """

    def __init__(self, source: Parquet, memory: int) -> None:
        X, *vectors = _written(source, memory)
        super().__init__(X, *(tiles.column() for tiles in vectors))
        self._source, self._memory = source, memory

    def __reduce__(self) -> tuple[Any, ...]:
        """Write another such file, wherever this goes."""
        return Spilled, (self._source, self._memory)

    def where(self, row: int, first: int = 0) -> str:
        """Say in which file a row lies, and as which of its rows."""
        return self._source.where(row, first)


def _written(source: Parquet, memory: int) -> list[Tiles]:
    """Write X and each of the vectors."""
    n, p = source.shape
    threads = max(1, min(p, pa.cpu_count(), limit()))
    count = max(1, min(-(-p // threads), int(SHARE * memory / threads / source.column_bytes)))
    X = Tiles((n, p), source.dtype)
    vectors = [Tiles((n, 1), source.dtype_of(name)) for name in source.vectors]
    jobs = [(X, j, source.features[j : j + count]) for j in range(0, p, count)]
    jobs += [(v, 0, (name,)) for v, name in zip(vectors, source.vectors, strict=True)]
    stop = Event()

    def write(job: tuple[Tiles, int, tuple[str, ...]]) -> None:
        tiles, first, names = job
        rows = max(tiles.rows, MOST_ROWS - MOST_ROWS % tiles.rows)
        out: Array = np.empty((len(names), min(rows, n)), tiles.dtype)
        with _stopping(stop):
            for low, columns in source.columns(names, out):
                if stop.is_set():
                    return
                tiles.write(low, first, columns)

    with ThreadPoolExecutor(threads, "fastloss-spill") as pool, _stopping(stop):
        each(pool, write, jobs)
    for tiles in (X, *vectors):
        tiles.written()
    return [X, *vectors]


@contextmanager
def _stopping(others: Event) -> Iterator[None]:
    """Tell the other threads where this one is not going on."""
    try:
        yield
    except BaseException:
        others.set()
        raise
