"""Columns of CSV and Parquet files, through pyarrow."""

import reprlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
from pyarrow import compute, csv, dataset

from fastloss.arrow import TEXT, is_number, to_numpy, value_type, words
from fastloss.cli import capacity
from fastloss.cli.errors import CommandError, reading
from fastloss.typing import Array

# A line longer than a block cannot be read: thousands of columns still fit in 4 MiB.
CSV_BLOCK = 1 << 22
EMPTY = "Empty CSV file"


class CsvTable:
    """A CSV file with a header, in UTF-8.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    CommandError
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        try:
            with reading(path), self._open() as file:
                self.names.extend(file.schema.names)
        except CommandError as error:
            if EMPTY not in str(error):
                raise
            if _has_no_rows(path):
                raise CommandError(f"{path} has no rows") from None
            raise CommandError(
                f"the first line of {path} is longer than {CSV_BLOCK >> 20} MiB: it has too many "
                "columns for CSV, or is none"
            ) from None

    def estimated_rows(self) -> int:
        """Give the number of rows, as if all were as long as those of the first block."""
        size = self.path.stat().st_size
        with reading(self.path), self._open() as file:
            return int(file.read_next_batch().num_rows * max(1.0, size / CSV_BLOCK))

    def columns(self, wanted: Sequence[str]) -> Iterator[Array]:
        """Read the columns, then give them one by one, each forgotten when the next is given."""
        with reading(self.path):
            table = self._read(wanted, threads=True)
        columns = dict(zip(table.column_names, table.columns, strict=True))
        del table
        for name in wanted:
            column = columns.pop(name)
            if any(is_type(column.type) for is_type in TEXT):
                column = _parsed(name, column)
            yield _numbers(name, column)

    def matrix(self, wanted: Sequence[str]) -> Array | None:
        """Give None: a CSV file holds no arrays."""
        return None

    def _open(self) -> Any:
        return csv.open_csv(self.path, csv.ReadOptions(block_size=CSV_BLOCK), _parsing("skip"))

    def _read(self, wanted: Sequence[str], threads: bool) -> Any:
        ragged: list[Any] = []
        try:
            return csv.read_csv(
                self.path,
                csv.ReadOptions(use_threads=threads, block_size=CSV_BLOCK),
                _parsing("error", ragged),
                csv.ConvertOptions(include_columns=list(wanted), strings_can_be_null=True),
            )
        except pa.ArrowInvalid:
            if not ragged:
                raise
        if threads:  # which do not know the number of a row
            return self._read(wanted, threads=False)
        row = ragged[0]
        raise CommandError(
            f"cannot read {self.path}: row {row.number - 1} has {row.actual_columns} values, the "
            f"header {row.expected_columns}: {reprlib.repr(row.text)}"
        )


class ParquetTable:
    """A Parquet file, or a folder of them.

    Parameters
    ----------
    path : Path
        The file or folder.

    Raises
    ------
    CommandError
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path):
            self._dataset = dataset.dataset(path, format="parquet")
        if not self._dataset.files:
            raise CommandError(f"{path} is a folder without Parquet files")
        self.names: list[str] = self._dataset.schema.names

    def columns(self, wanted: Sequence[str]) -> Iterator[Array]:
        """Read one column after the other, which is how they lie in the file."""
        with reading(self.path):
            rows = int(self._dataset.count_rows())
        capacity.check(self.path, "a column", 8 * rows)
        for name in wanted:
            with reading(self.path):
                column = self._dataset.to_table(columns=[name]).column(0)
            if len(column) != rows:
                raise CommandError(
                    f"cannot read {self.path}: column {name!r} has {len(column)} rows, where the "
                    f"footer says {rows}"
                )
            yield _numbers(name, column)

    def matrix(self, wanted: Sequence[str]) -> Array | None:
        """Give None: a Parquet file holds no arrays."""
        return None


def _has_no_rows(path: Path) -> bool:
    """Whether it is for want of rows that no header was found, not for its length."""
    with path.open("rb") as file:
        return path.stat().st_size <= CSV_BLOCK or not file.read(CSV_BLOCK).strip()


def _parsing(on_ragged: str, seen: list[Any] | None = None) -> Any:
    """Give the options of reading rows; ``seen`` takes those with too few or too many values."""

    def handle(row: Any) -> str:
        if seen is not None:
            seen.append(row)
        return on_ragged

    return csv.ParseOptions(newlines_in_values=True, invalid_row_handler=handle)


def _numbers(name: str, column: Any) -> Array:
    if not is_number(column.type):
        column = column.cast(value_type(column.type))
        _refuse(name, column, _first_given(column))
    return to_numpy(column)


def _parsed(name: str, column: Any) -> Any:
    """Parse text that CSV's own inference left as text: ``+1``, or something that is no number."""
    try:
        return _parse(column)
    except pa.ArrowInvalid:
        _refuse(name, column, _first_unparsable(column))


def _parse(column: Any) -> Any:
    return compute.utf8_trim_whitespace(column.cast(pa.string())).cast(pa.float64())


def _first_unparsable(column: Any) -> int:
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _parse(column.slice(low, middle - low))
        except pa.ArrowInvalid:
            high = middle
        else:
            low = middle
    return low


def _first_given(column: Any) -> int:
    return int(compute.index(column.is_valid(), True).as_py())


def _refuse(name: str, column: Any, row: int) -> NoReturn:
    message = f"column {name!r} holds {words(column.type)}, not numbers"
    if row >= 0:
        message += f": row {row + 1} is {_shown(column[row])}"
    raise CommandError(message)


def _shown(value: Any) -> str:
    """Give a value as the file has it; dates and times would be Python objects."""
    try:
        return reprlib.repr(value.cast(pa.string()).as_py())
    except pa.ArrowException:  # lists and the like, and bytes that are not UTF-8
        return reprlib.repr(value.as_py())
