"""The Parquet files of a data set, and their rows as batches of Arrow."""

from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import accumulate
from os import PathLike
from pathlib import PurePosixPath
from posixpath import commonpath
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import dataset, parquet

from fastloss.arrow import is_number, value_type, words
from fastloss.place import type_name
from fastloss.stream.batches import Batches, Opened
from fastloss.stream.rows import reading


class File(NamedTuple):
    """One of the files."""

    path: str
    low: int
    """The number of its first row."""
    footer: Any
    state: tuple[Any, ...]
    """Its size and when it was written."""


class Most(NamedTuple):
    """What row groups have at most."""

    rows: int
    column_bytes: int
    """Of a column, as they are in the file."""
    dictionaries: bool
    """Whether there are any."""


class DifferentColumnsError(ValueError):
    """Files do not agree on which columns there are."""


class Files:
    """The files, in Arrow's order.

    Parameters
    ----------
    source : path or pyarrow.dataset.Dataset
        A file, a folder of files, or a data set of Parquet files.
    """

    def __init__(self, source: str | PathLike[str] | dataset.Dataset) -> None:
        found = _open(source)
        self.name = str(source) if isinstance(source, str | PathLike) else "the data set"
        if not found.files:
            raise ValueError(f"{self.name} has no Parquet files")
        self._filesystem = found.filesystem
        self._files: list[File] = []
        low = 0
        for path in found.files:
            with self._open(path) as file:
                self._files.append(File(path, low, file.metadata, self._state(path)))
            low += file.metadata.num_rows
        self.rows = low
        if isinstance(source, dataset.Dataset):
            _refuse_filter(source, self.rows)
        self.schema = self._files[0].footer.schema.to_arrow_schema()
        self._outside = _outside(source, found.files, self.schema.names)

    def of_row(self, row: int) -> File:
        """Give the file that has a row."""
        found: File = next(file for file in reversed(self._files) if file.low <= row)
        return found

    def most_of_a_group(self, names: Sequence[str]) -> Most:
        """Say what the longest row groups of the files have of these columns."""
        wanted = frozenset(names)
        rows = size = 0
        dictionaries = False
        for _, _, footer, _ in self._files:
            groups = map(footer.row_group, range(footer.num_row_groups))
            group = max(groups, key=lambda group: group.num_rows, default=None)
            if group is None:
                continue
            rows = max(rows, group.num_rows)
            for i, name in enumerate(footer.schema.names):
                if name in wanted:
                    column = group.column(i)
                    size = max(size, column.total_compressed_size)
                    dictionaries |= column.has_dictionary_page
        return Most(rows, size, dictionaries)

    def check_others(self) -> None:
        """See that no column is missed where all that are not named otherwise are features.

        Raises
        ------
        DifferentColumnsError
            If there are columns beside those of the first file.
        """
        if self._outside:
            raise DifferentColumnsError(
                f"{self.name} has columns that only the names of its folders or its schema say, "
                f"{_listed(self._outside)}: they are not read, so name the features, or write "
                "these columns into the files"
            )
        for path, _, footer, _ in self._files:
            later = set(footer.schema.to_arrow_schema().names) - set(self.schema.names)
            if later:
                raise DifferentColumnsError(
                    f"{path} has columns that {self._files[0].path} has not, "
                    f"{_listed(sorted(later))}: name the features"
                )

    def dtypes(self, names: Sequence[str]) -> dict[str, np.dtype[Any]]:
        """Give the dtype that holds the numbers of each column in all files.

        Raises
        ------
        DifferentColumnsError
            If a file has no such column, or several.
        TypeError
            If a column is one of something else.
        """
        first = self._files[0].path
        found: dict[str, np.dtype[Any]] = {}
        for path, _, footer, _ in self._files:
            schema = footer.schema.to_arrow_schema()
            for name in names:
                if (count := schema.names.count(name)) != 1:
                    what = f"{count} columns" if count else "no column"
                    raise DifferentColumnsError(
                        f"{path} has {what} {name!r}, where {first} has one"
                    )
                here = _dtype(path, name, schema.field(name).type)
                found[name] = np.result_type(here, found.get(name, here))
        return found

    def batches(self, names: Sequence[str], buffer: int, low: int) -> Batches:
        """Give the rows of some columns from row ``low`` on.

        Row groups before it are not read. Pages are read through ``buffer`` bytes for each column.
        """
        return Batches(self._opened(buffer, low), names)

    def _opened(self, buffer: int, low: int) -> Generator[Opened, None, None]:
        for path, first, footer, state in self._files:
            if first + footer.num_rows > low:
                with closing(self._open(path, buffer_size=buffer, metadata=footer)) as file:
                    if self._state(path) != state:
                        raise OSError(f"{path} has changed since it was looked at: open it anew")
                    yield Opened(path, file, *_groups_from(footer, max(0, low - first)))

    def _state(self, path: str) -> tuple[Any, ...]:
        with reading(path):
            info = self._filesystem.get_file_info(path)
        return info.size, info.mtime_ns

    def _open(self, path: str, **options: Any) -> Any:
        # pre_buffer would read whole row groups.
        with reading(path):
            return parquet.ParquetFile(
                path, filesystem=self._filesystem, pre_buffer=False, **options
            )


def _open(source: Any) -> Any:
    if isinstance(source, str | PathLike):
        with reading(source):
            # Only found, not opened: that is done one by one, so that errors name the file.
            return dataset.dataset(source, schema=pa.schema([]), format="parquet")
    if not isinstance(source, dataset.FileSystemDataset):
        raise TypeError(
            "source must be a path or a pyarrow.dataset.Dataset of Parquet files, got "
            f"{type_name(source)}"
        )
    if not isinstance(source.format, dataset.ParquetFileFormat):
        raise TypeError(f"source must have Parquet files, got {source.format.default_extname}")
    return source


def _outside(source: Any, paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """Name the columns that are not in the files, as in ``k=1/part.parquet``."""
    if isinstance(source, dataset.Dataset):
        return [name for name in source.schema.names if name not in names]
    shared = len(commonpath(paths))
    folders = (part for path in paths for part in PurePosixPath(path[shared:]).parts[:-1])
    return sorted({folder.partition("=")[0] for folder in folders if "=" in folder})


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _refuse_filter(source: dataset.Dataset, rows: int) -> None:
    if (count := source.count_rows()) != rows:
        raise ValueError(
            f"source must be a Dataset without a filter, got {count} of the {rows} rows of its "
            "files"
        )


def _dtype(path: str, name: str, kind: Any) -> np.dtype[Any]:
    if not is_number(kind):
        raise TypeError(f"column {name!r} holds {words(value_type(kind))}, not numbers, in {path}")
    return np.dtype(np.float32 if pa.types.is_float32(value_type(kind)) else np.float64)


def _group_rows(footer: Any) -> list[int]:
    return [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]


def _groups_from(footer: Any, skip: int) -> tuple[list[int], int]:
    """Give the row groups that hold what comes after ``skip`` rows, and the rest to skip."""
    ends = list(accumulate(_group_rows(footer)))
    first = sum(end <= skip for end in ends)
    return list(range(first, len(ends))), skip - (ends[first - 1] if first else 0)
