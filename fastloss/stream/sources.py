"""Which data are read block by block, and which are held in memory."""

import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from fastloss.arrays import caller_level
from fastloss.cpu.design import lies_well
from fastloss.model import Model
from fastloss.place import library, type_name
from fastloss.stream.mapped import Mapped
from fastloss.stream.model import StreamedModel
from fastloss.stream.pages import in_large_pages, span
from fastloss.stream.rows import RESULT_BYTES, Rows
from fastloss.stream.slices import Slices
from fastloss.stream.stored import has_slices
from fastloss.typing import Array

# Bytes of a copy of X that is made rather than made block by block at each reading.
COPY_BYTES = 1 << 25
# Of the budget, what may be held beside blocks, which need their part; and what beyond a small one
# nothing is done about, as Arrow keeps that in any case.
BESIDE = 0.5
UNTOLD = 1 << 26
# Files that others read, with how that is done.
OTHERS = {
    ".npy": "numpy.load(path, mmap_mode='r')",
    ".npz": "numpy.load(path)",
    ".csv": "pandas.read_csv(path) or python -m fastloss fit",
    ".h5": "h5py.File(path)[name]",
    ".hdf5": "h5py.File(path)[name]",
    ".zarr": "zarr.open(path)",
}
# Of the budget, what a file's array may take to be read once and held.
HELD = 0.25


def is_on_disk(X: Any) -> bool:
    """Whether X names a file, or is an object whose rows have to be read."""
    return isinstance(X, Rows) or _is_file(X) or has_slices(X)


def model(X: Any, y: Any, weight: Any, memory: int) -> Model | None:
    """Give the model of data that are read block by block, None for those in memory."""
    rows = _rows(X, y, weight, memory)
    if rows is None:
        return None
    return StreamedModel(within(rows, memory), X, y, weight, memory)


def within(rows: Rows, memory: int) -> Rows:
    """Give rows that take no more than ``memory`` bytes if that is possible, or else warn."""
    least = rows.least_memory()
    if least > max(BESIDE * memory, UNTOLD) and (written := rows.spilled(memory)) is not None:
        return written
    if least > max(memory, UNTOLD):
        warnings.warn(
            f"about {least / 1e6:,.0f} MB will be held where memory_limit is {memory / 1e6:,.0f} "
            "MB, as the chunks of X are so large: write it in smaller ones, or raise the limit",
            stacklevel=caller_level(),
        )
    return rows


def held(array: Any) -> Any:
    """Read an array that has to be read."""
    return np.asarray(array[:] if array.shape else array[()]) if has_slices(array) else array


def _rows(X: Any, y: Any, weight: Any, memory: int) -> Rows | None:
    if isinstance(X, Rows):
        if y is not None or weight is not None:
            raise TypeError(f"y and weight must be None beside {type_name(X)}, which has them")
        return X
    if _is_file(X):
        return _parquet(X, y, weight)
    if has_slices(X):
        small = X.nbytes <= HELD * memory if hasattr(X, "nbytes") else False
        return None if small else Mapped(X, y, weight, memory)
    if isinstance(X, np.memmap) and X.ndim == 2:
        maps = [array for array in (X, y, weight) if isinstance(array, np.memmap)]
        if sum(map(span, maps)) + RESULT_BYTES * len(X) > memory:
            return Mapped(X, y, weight, memory)
        for array in (X, y, weight):
            in_large_pages(array)
    if isinstance(X, np.ndarray) and X.ndim == 2 and _copy_bytes(X) > COPY_BYTES:
        return Slices(X, y, weight, memory)
    return None


def _is_file(X: Any) -> bool:
    """Whether X is a path, or a data set of files; a table of Arrow's is in memory."""
    return isinstance(X, str | PathLike) or (library(X) == "pyarrow" and hasattr(X, "scanner"))


def _parquet(source: Any, y: Any, weight: Any) -> Rows:
    suffix = Path(source).suffix.lower() if isinstance(source, str | PathLike) else ""
    if suffix in OTHERS:
        raise ValueError(
            f"X must be an array or the path of Parquet, got {str(source)!r}: pass what "
            f"{OTHERS[suffix]} gives"
        )
    try:
        from fastloss.stream.parquet import Parquet
    except ImportError as error:
        raise ImportError('Parquet files need pyarrow: pip install "fastloss[stream]"') from error
    for name, value in (("y", y), ("weight", weight)):
        if not (isinstance(value, str) or (value is None and name == "weight")):
            raise TypeError(
                f"{name} must be the name of a column, as X is the file {str(source)!r}, got "
                f"{type_name(value)}"
            )
    return Parquet(source, y, weight=weight)


def _copy_bytes(X: Array) -> int:
    """Give the bytes of the copy that kernels would need of all of X; 0 if they need none."""
    return 0 if lies_well(X) else 8 * X.size
