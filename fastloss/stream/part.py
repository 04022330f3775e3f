"""Some of the columns of Parquet files, read into blocks by one thread."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastloss.arrow import to_numpy
from fastloss.typing import Vector


class Part:
    """Copies batches into blocks.

    Parameters
    ----------
    names : sequence of str
        The columns.
    batches : iterator
        Batches of Arrow that have them.
    """

    def __init__(self, names: Sequence[str], batches: Iterator[Any]) -> None:
        self._names = names
        self._batches = batches
        self._rest: Any = None

    def fill(self, outs: Sequence[Vector]) -> None:
        """Read the next rows, as many as each of ``outs`` has, which are one for each column."""
        filled, rows = 0, len(outs[0])
        while filled < rows:
            batch = next(self._batches, None) if self._rest is None else self._rest
            if batch is None:
                raise OSError("the Parquet files have fewer rows than their footers say")
            taken = batch.slice(0, rows - filled)
            high = filled + len(taken)
            for name, out in zip(self._names, outs, strict=True):
                out[filled:high] = to_numpy(taken.column(name))
            self._rest = batch.slice(len(taken)) if len(taken) < len(batch) else None
            filled = high
