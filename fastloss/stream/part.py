"""Some of the columns of Parquet files, read by one thread."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fastloss.arrow import to_numpy
from fastloss.stream.batches import Batches
from fastloss.typing import Vector


class Part:
    """Makes arrays of batches.

    Parameters
    ----------
    dtypes : mapping of str to dtype
        The columns' names, and what is wanted of each.
    batches : Batches
        Those of these columns.
    """

    def __init__(self, dtypes: Mapping[str, np.dtype[Any]], batches: Batches) -> None:
        self._dtypes = dtypes
        self._batches = batches

    def close(self) -> None:
        """Close the files."""
        self._batches.close()

    def take(self, rows: int, most: int) -> list[Vector]:
        """Give the next rows of each column, where they lie unless a file ends on the way.

        More than ``most`` are copied, so many at once.
        """
        batch = self._next(min(most, rows))
        if len(batch) < rows:
            outs = [_empty(rows, dtype) for dtype in self._dtypes.values()]
            self._copy(batch, outs)
            self.fill([out[len(batch) :] for out in outs], most)
            return outs
        return [
            to_numpy(batch.column(name)).astype(dtype, copy=False)
            for name, dtype in self._dtypes.items()
        ]

    def fill(self, outs: Sequence[Vector], most: int) -> None:
        """Copy the next rows, as many as ``outs`` have, one for each column; ``most`` at once."""
        filled, rows = 0, len(outs[0])
        while filled < rows:
            batch = self._next(min(most, rows - filled))
            self._copy(batch, [out[filled:] for out in outs])
            filled += len(batch)

    def _next(self, rows: int) -> Any:
        batch = self._batches.take(rows)
        if batch is None:
            raise OSError("the Parquet files have fewer rows than their footers say")
        return batch

    def _copy(self, batch: Any, outs: Sequence[Vector]) -> None:
        for name, out in zip(self._dtypes, outs, strict=True):
            out[: len(batch)] = to_numpy(batch.column(name))


def _empty(rows: int, dtype: np.dtype[Any]) -> Vector:
    """Give memory that Arrow has used before, as NumPy's is given back to the system each time."""
    return np.frombuffer(pa.allocate_buffer(rows * dtype.itemsize), dtype)
