"""Files that are read block by block, as they are larger than the memory that may be used."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastloss.arrays import precision
from fastloss.cli import capacity
from fastloss.cli.arrays import is_numeric, mapped
from fastloss.cli.errors import CommandError, needs_pyarrow
from fastloss.cli.tables import Data, bad_column, choose, open_table
from fastloss.cli.values import shown
from fastloss.stream.rows import Rows

PARQUET = (".parquet", ".pq")
# A number and a comma, of a byte each, become eight bytes.
WIDENED = 4
# Rows that are looked through at once.
ROWS = 1 << 16


def open_rows(
    path: Path, target: str, features: Sequence[str] | None, *, drop_missing: bool, memory: int
) -> Data | None:
    """Open a file whose columns take more than ``memory`` bytes; None for any other.

    Parameters
    ----------
    path, target, features, drop_missing
        See :func:`fastloss.cli.tables.read`.
    memory : int
        Bytes.

    Raises
    ------
    CommandError
        If it is too large and cannot be read block by block, or does not hold these columns.
    """
    if not path.exists():
        return None
    kind = ".parquet" if path.is_dir() else path.suffix.lower()
    if kind == ".csv" and (length := path.stat().st_size) > memory:
        raise CommandError(
            f"{path} has {shown(length)}, more than --memory-limit {shown(memory)}, and CSV is "
            "held in memory: raise the limit, or write it as Parquet, which is read block by block "
            "(pyarrow.csv.open_csv gives the batches that pyarrow.parquet.ParquetWriter takes)"
        )
    if kind == ".csv":
        _check_csv(path, target, features, memory)
    if kind not in (*PARQUET, ".npy"):
        return None
    if kind == ".npy":
        found = _npy(path, target, features, memory)
    else:
        found = _parquet(path, target, features)
    if found is None:
        return None
    taken = _bytes(found.X)
    if kind == ".npy" and not drop_missing:
        taken += found.X.shape[0] * found.X.gap_bytes
    if taken <= memory:
        if kind != ".npy":  # which is mapped
            hint = ": with a lower --memory-limit it is read block by block"
            capacity.check(path, "the features", _bytes(found.X), hint)
        return None
    if drop_missing:
        raise CommandError(
            f"--drop-missing needs the columns in memory, but those of {path} take "
            f"{shown(_bytes(found.X))}, more than --memory-limit {shown(memory)}: raise the limit, "
            "or leave such rows out of the file"
        )
    # Which loads Numba.
    from fastloss.stream.sources import within

    # A fit, and what is counted after it, would each write a file.
    return replace(found, X=within(found.X, memory))


def check_finite(rows: Rows, features: Sequence[str], target: str, memory: int) -> None:
    """Raise CommandError if a value is not finite, naming the first such row and its column."""
    from fastloss.cpu.model import first_bad_rows

    for block in rows.blocks(min(ROWS, rows.rows_within(memory))):
        bad = first_bad_rows(block.X, block.y)
        if bad:
            row = min(bad.values())
            name = bad_column(block.X[row], block.y[row], target, features)
            number = block.low + row
            where = rows.where(number, first=1)
            raise CommandError(
                f"missing, NaN or infinite values, first in row {number + 1}"
                f"{where and f' ({where})'}, column {name!r}: leave such rows out of the file, or "
                "raise --memory-limit and give --drop-missing"
            )


def _check_csv(path: Path, target: str, features: Sequence[str] | None, memory: int) -> None:
    """Refuse a file of many short numbers, which take more in memory than on disk."""
    if path.stat().st_size * WIDENED <= memory:
        return
    table: Any = open_table(path)
    size = 8 * len(choose(path, table.names, target, features)) * table.estimated_rows()
    if size > memory:
        raise CommandError(
            f"the features of {path} take about {shown(size)} in memory, by its first rows, more "
            f"than --memory-limit {shown(memory)}, and CSV is held in memory: raise the limit, "
            "choose fewer --features, or write it as Parquet, which is read block by block"
        )


def _parquet(path: Path, target: str, features: Sequence[str] | None) -> Data | None:
    try:
        from fastloss.stream.files import DifferentColumnsError
        from fastloss.stream.parquet import Parquet
    except ImportError:
        raise needs_pyarrow(path.suffix or "Parquet") from None
    try:
        rows = Parquet(path, target, features)
    except DifferentColumnsError as error:
        raise CommandError(str(error)) from None
    except (OSError, TypeError, ValueError):
        return None  # what is wrong is said where files are read whole
    return Data(rows, None, rows.features, 0)


def _npy(path: Path, target: str, features: Sequence[str] | None, memory: int) -> Data | None:
    from fastloss.stream.mapped import Mapped

    array = mapped(path)
    if array.ndim != 2 or not is_numeric(array):
        return None
    chosen = choose(path, [str(j) for j in range(array.shape[1])], target, features)
    numbers = [int(name) for name in chosen]
    first, last = numbers[0], numbers[-1]
    side_by_side = numbers == list(range(first, last + 1))
    if not array.shape[0]:
        return None
    y = array[:, int(target)]
    if side_by_side:
        rows = Mapped(array[:, first : last + 1], y, memory=memory)
    else:
        rows = Mapped(array, y, memory=memory, columns=numbers)
    return Data(rows, None, tuple(chosen), 0)


def _bytes(rows: Rows) -> int:
    """Give the bytes of X in memory."""
    n, p = rows.shape
    return int(n * p * np.dtype(precision(rows.dtype)).itemsize)
