"""Batches of Arrow from Parquet files, each as long as is asked for."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, NamedTuple

from fastloss.stream.rows import reading


class Opened(NamedTuple):
    """A file that rows are read from."""

    path: str
    file: Any
    groups: list[int]
    """Those of its row groups that are read."""
    skip: int
    """Rows of the first of them that are not wanted."""


class Batches:
    """Rows of some columns, one batch after the other.

    Parameters
    ----------
    files : generator of Opened
        The files, in order.
    names : sequence of str
        The columns.
    """

    def __init__(self, files: Generator[Opened, None, None], names: Sequence[str]) -> None:
        self._files, self._names = files, list(names)
        self._now: Opened | None = None
        self._batches: Any = None
        self._skip = 0
        self._rest: Any = None
        # Where Ctrl-C is heard while a pool starts a thread, the pool does not wait for that.
        self._taking = Lock()

    def take(self, rows: int) -> Any:
        """Give the next rows, at most so many: fewer where a file ends, None after the last."""
        with self._taking:
            return self._take(rows)

    def _take(self, rows: int) -> Any:
        while self._rest is None and (self._now is not None or self._next_file()):
            wanted = min(rows, self._skip) or rows
            self._rest = self._read(wanted)
            if self._rest is not None and self._skip:
                self._skip -= wanted
                self._first(wanted)
        return None if self._rest is None else self._first(rows)

    def close(self) -> None:
        """Close the file that is open: where a finaliser does, Ctrl-C may be lost."""
        with self._taking:
            self._files.close()

    def _next_file(self) -> bool:
        self._now = next(self._files, None)
        self._skip = 0 if self._now is None else self._now.skip
        self._batches = None
        return self._now is not None

    def _read(self, rows: int) -> Any:
        assert self._now is not None
        path, file, groups, _ = self._now
        if self._batches is None:
            self._batches = file.iter_batches(rows, groups, self._names, use_threads=False)
        else:
            # Arrow has no documented way. Without this one batches are as long as the first was.
            with suppress(AttributeError):
                file.reader.set_batch_size(rows)
        with reading(path):
            batch = next(self._batches, None)
        if batch is None:
            self._now = None
        return batch

    def _first(self, rows: int) -> Any:
        """Give the first rows of what was read, and keep the others for later."""
        batch = self._rest
        self._rest = batch.slice(rows) if rows < len(batch) else None
        return batch.slice(0, rows)
