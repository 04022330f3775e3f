"""From a file and column names to X and y, or to an error that says which column or row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fastloss.arrays import precision
from fastloss.cli.errors import CommandError, needs_pyarrow
from fastloss.columns import choose as choose_names
from fastloss.stream.rows import Rows
from fastloss.typing import Array, Vector

# Bytes of X looked through for NaN at once, so that the marks stay small.
BLOCK_BYTES = 1 << 21


class Table(Protocol):
    """A file's columns, by name."""

    @property
    def names(self) -> Sequence[str]:
        """The names in file order; a file may hold one twice."""

    def columns(self, wanted: Sequence[str]) -> Iterator[Array]:
        """Give columns of numbers one after the other, NaN where a value is missing."""

    def matrix(self, wanted: Sequence[str]) -> Array | None:
        """Give columns as one floating-point array if the file holds them as one."""


@dataclass(frozen=True, slots=True)
class Data:
    """What a model is fitted to."""

    X: Any
    """A matrix, or rows that are read block by block."""
    y: Any
    """None where X is rows, which have it."""
    features: tuple[str, ...]
    """The names of X's columns."""
    dropped: int
    """Rows left out because a value was missing or not finite."""
    files: Rows | None = None
    """Where workers have read X."""

    @property
    def by_rows(self) -> Rows | None:
        """Rows that can be read block by block; None where a file was read whole."""
        rows: Rows | None = self.X if self.streamed else self.files
        return rows

    @property
    def streamed(self) -> bool:
        """Whether rows are read block by block."""
        return self.y is None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.X.shape[0])

    def head(self, rows: int, size: int) -> "Data":
        """Give the first rows, at most so many and of so many bytes, in memory."""
        count = min(rows, self.rows, max(1, size // (8 * len(self.features))))
        if self.y is not None:
            return replace(self, X=self.X[:count], y=self.y[:count])
        block = self.X.block(0, count)
        return replace(self, X=block.X, y=block.y)


def read(path: Path, target: str, features: Sequence[str] | None, *, drop_missing: bool) -> Data:
    """Read the columns of a model.

    Parameters
    ----------
    path : Path
        CSV, Parquet (a file or a folder of them), .npy or .npz.
    target : str
        The column to predict.
    features : sequence of str, optional
        The columns to predict it from; default all others, in file order.
    drop_missing : bool
        Leave out rows with missing, NaN or infinite values instead of refusing them.

    Returns
    -------
    Data

    Raises
    ------
    CommandError
        If the file cannot be read, or does not hold these columns as finite numbers.
    MemoryError
        If they do not fit.
    """
    table = open_table(path)
    chosen = choose(path, table.names, target, features)
    X, y = _arrays(table, target, chosen)
    if not y.size:
        raise CommandError(f"{path} has no rows")
    bad = _bad_rows(X, y)
    dropped = int(np.count_nonzero(bad))
    if dropped and not drop_missing:
        row = int(bad.argmax())
        name = bad_column(X[row], y[row], target, chosen)
        raise CommandError(
            f"missing, NaN or infinite values in {dropped} of {y.size} rows, first in row "
            f"{row + 1}, column {name!r}; leave such rows out with "
            "--drop-missing"
        )
    if dropped == y.size:
        raise CommandError(f"every row of {path} has a missing, NaN or infinite value")
    if dropped:
        X, y = X[~bad], y[~bad]
    return Data(X, y, tuple(chosen), dropped)


def open_table(path: Path) -> Table:
    """Open a file by its extension, reading no more than the names of its columns.

    Parameters
    ----------
    path : Path
        The file, or a folder of Parquet files.

    Returns
    -------
    Table

    Raises
    ------
    CommandError
        If there is no such file, no reader for it, or it cannot be read.
    """
    if not path.exists():
        raise CommandError(f"no such file: {path}")
    kind = ".parquet" if path.is_dir() else path.suffix.lower()
    if kind in (".npy", ".npz"):
        from fastloss.cli import arrays

        return arrays.npy(path) if kind == ".npy" else arrays.npz(path)
    if kind not in (".csv", ".parquet", ".pq"):
        raise CommandError(
            f"cannot tell the format of {path} by its extension: known are .csv, .parquet, .pq, "
            ".npy and .npz"
        )
    try:
        from fastloss.cli.arrow import CsvTable, ParquetTable
    except ImportError:
        raise needs_pyarrow(kind) from None
    return CsvTable(path) if kind == ".csv" else ParquetTable(path)


def choose(
    path: Path, names: Sequence[str], target: str, features: Sequence[str] | None
) -> list[str]:
    """Check the names that were asked for, see :func:`fastloss.columns.choose`.

    Raises
    ------
    CommandError
        If they are not columns of the file.
    """
    try:
        return choose_names(path, names, target, features)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _arrays(table: Table, target: str, features: Sequence[str]) -> tuple[Array, Vector]:
    X = table.matrix(features)
    if X is None:
        columns = table.columns([target, *features])
        y = _vector(next(columns))
        return _side_by_side(columns, y.size, len(features)), y
    return X, _vector(next(table.columns([target])))


def _vector(column: Array) -> Vector:
    return np.ascontiguousarray(column, precision(column.dtype)).reshape(-1)


def _side_by_side(columns: Iterator[Array], rows: int, count: int) -> Array:
    """Fill X as columns arrive, so that at most one is held besides it."""
    X: Array = np.empty((rows, count), np.float32, order="F")
    for j, column in enumerate(columns):
        if precision(column.dtype) != X.dtype:
            # At the first column X is still untouched memory, which costs nothing to replace.
            wider = np.empty((rows, count), np.float64, order="F")
            wider[:, :j] = X[:, :j]
            X = wider
        X[:, j] = column
    return X


def bad_column(row: Vector, y: float, target: str, features: Sequence[str]) -> str:
    """Name the first column of a row of X and its target that is not finite."""
    wrong = int(np.flatnonzero(~np.isfinite([y, *row]))[0])
    return [target, *features][wrong]


def _bad_rows(X: Array, y: Vector) -> Vector:
    bad: Vector = ~np.isfinite(y)
    rows = max(1, BLOCK_BYTES // (X.itemsize * X.shape[1]))
    for low in range(0, y.size, rows):
        bad[low : low + rows] |= ~np.isfinite(X[low : low + rows]).all(axis=1)
    return bad
