"""One array that is read by slices of its rows, each of its chunks once."""

from itertools import cycle
from typing import Any, Literal

import numpy as np

from fastloss.arrays import precision
from fastloss.cpu.design import in_columns
from fastloss.cpu.sparse import is_sparse
from fastloss.place import as_real, is_foreign, require_real
from fastloss.stream.copied import Copied
from fastloss.stream.rows import ALIVE, reading
from fastloss.typing import Array

# A library gives its own array for a slice, which is then copied: no more than this at once. In
# slices of half of it, 4,000,000 x 20 float32 in zarr take 0.39 s, 0.30 so.
SLICE_BYTES = 1 << 24
# What that takes, in slices: zarr holds chunks as they are stored and decoded, on several threads,
# each of whose allocators keeps them. Beside the blocks, 60 to 130 MB were held.
SLICES = 6
# Of the memory that may be held, what that may take.
SHARE = 0.5
# What says that an object's elements lie in a device's memory or on a cluster.
ELSEWHERE = "__cuda_array_interface__", "__dlpack_device__", "__dask_graph__"


class Stored:
    """An array of real numbers.

    Parameters
    ----------
    name : str
        What errors call it.
    value : array-like
        An object with a shape, a dtype and slices of rows, or whatever NumPy makes an array of.
    memory : int
        Bytes that may be held.
    """

    def __init__(self, name: str, value: Any, memory: int) -> None:
        self.name = name
        self._slice_bytes = min(SLICE_BYTES, int(SHARE * memory / SLICES))
        sliced = isinstance(value, Copied) or has_slices(value)
        self.array = value if sliced else as_real(name, value)
        require_real(name, self.array, value)
        self.shape: tuple[int, ...] = tuple(self.array.shape)
        self.dtype = precision(self.array.dtype)
        self.chunk = _chunk_rows(self.array)

    @property
    def in_memory(self) -> bool:
        """Whether rows need not be read: a slice has the numbers as they are wanted."""
        array = self.array
        return isinstance(array, np.ndarray) and array.dtype == self.dtype and array.flags.aligned

    def bytes_of(self, rows: int) -> int:
        """Give the bytes of so many rows, once they are read."""
        return rows * int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    def beside(self) -> int:
        """Give the bytes that are held beside the blocks: slices, and a chunk if there are any."""
        if self.in_memory:
            return 0
        if isinstance(self.array, Copied):
            return self.array.beside
        slices = 1 if hasattr(self.array, "read_direct") else SLICES
        return self.bytes_of(slices * self._slice_rows() + (self.chunk if self.chunk > 1 else 0))

    def empty(self, rows: int) -> Array:
        """Give memory for so many rows, in the array's order: kernels' bits depend on it."""
        array = self.array
        apart = isinstance(array, Copied) or (isinstance(array, np.ndarray) and in_columns(array))
        order: Literal["C", "F"] = "F" if apart else "C"
        return np.empty((rows, *self.shape[1:]), self.dtype, order)

    def read(self, low: int, out: Array) -> None:
        """Read rows from ``low`` on, as many as ``out`` has."""
        step = self._slice_rows()
        for at in range(0, len(out), step):
            part = out[at : at + step]
            first, last = low + at, low + at + len(part)
            with reading(f"rows {first} to {last - 1} of {self.name}"):
                self._read(first, last, part)

    def _slice_rows(self) -> int:
        if isinstance(self.array, Copied):  # which makes no array of its own
            return self.shape[0]
        rows = max(1, self._slice_bytes // max(1, self.bytes_of(1)))
        return min(max(self.chunk, rows - rows % self.chunk), self.shape[0])

    def _read(self, low: int, high: int, out: Array) -> None:
        if isinstance(self.array, Copied):
            self.array.read(low, high, out)
            return
        # h5py's own way into an array; it would convert, too, but slower than NumPy.
        if hasattr(self.array, "read_direct") and self.array.dtype == out.dtype and out.size:
            self.array.read_direct(out, np.s_[low:high])
            return
        found = np.asarray(self.array[low:high])
        if found.shape != out.shape:
            raise ValueError(f"got the shape {found.shape} in place of {out.shape}")
        out[...] = found


class Reader:
    """Reads an array's blocks in order.

    What a chunk has beyond a block is kept for the next one.

    Parameters
    ----------
    stored : Stored
        The array.
    rows : int
        The most rows of a block.
    """

    def __init__(self, stored: Stored, rows: int) -> None:
        self._stored = stored
        self._in_memory = stored.in_memory
        if not self._in_memory:
            self._buffers = cycle([stored.empty(rows) for _ in range(ALIVE)])
            self._rest = stored.empty(stored.chunk)
            self._rest_low = self._rest_high = 0

    def take(self, low: int, high: int) -> Array:
        """Give rows, in memory that is used again after the next ones."""
        if self._in_memory:
            return np.asarray(self._stored.array[low:high])
        out = next(self._buffers)[: high - low]
        self._fill(low, high, out)
        return out

    def _fill(self, low: int, high: int, out: Array) -> None:
        n, chunk = self._stored.shape[0], self._stored.chunk
        at = low
        if self._rest_low <= low < self._rest_high:
            at = min(high, self._rest_high)
            out[: at - low] = self._rest[low - self._rest_low : at - self._rest_low]
        cut = high - high % chunk if high < n else high
        if at < cut:
            self._stored.read(at, out[at - low : cut - low])
            at = cut
        if at < high:
            self._rest_low, self._rest_high = cut, min(n, cut + chunk)
            self._stored.read(cut, self._rest[: self._rest_high - cut])
            out[at - low :] = self._rest[at - cut : high - cut]


def has_slices(value: Any) -> bool:
    """Whether to slice an object itself: not in-memory arrays, which have ways of their own."""
    if isinstance(value, np.ndarray | np.generic) or is_foreign(value) or is_sparse(value):
        return False
    if any(hasattr(value, name) for name in ELSEWHERE):
        return False
    return (
        isinstance(getattr(value, "dtype", None), np.dtype)
        and hasattr(value, "shape")
        and hasattr(value, "__getitem__")
    )


def _chunk_rows(array: Any) -> int:
    chunks = getattr(array, "chunks", None)
    # Dask's are tuples of lengths, which differ.
    return int(chunks[0]) if chunks and isinstance(chunks[0], int) and chunks[0] > 0 else 1
