"""Columns of NumPy's own files: .npy, mapped into memory, and .npz."""

import reprlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from fastloss.arrays import precision
from fastloss.cli.errors import CommandError, reading
from fastloss.typing import Array

OBJECTS = "holds Python objects, which are never loaded: save numbers, such as by astype(float)"


class Place(NamedTuple):
    """Where a column lies: an array of the file, and what to index it with."""

    name: str
    key: str
    index: Any


class ArrayTable:
    """Columns that are parts of arrays.

    Parameters
    ----------
    places : sequence of Place
        The columns, in file order.
    load : callable
        Gives the array of a key.
    """

    def __init__(self, places: Sequence[Place], load: Callable[[str], Array]) -> None:
        self.names = [place.name for place in places]
        self._places = {place.name: place for place in places}
        self._load = load

    def columns(self, wanted: Sequence[str]) -> Iterator[Array]:
        """Give the columns as views."""
        for name in wanted:
            _, key, index = self._places[name]
            column = self._load(key)[index]
            if not is_numeric(column) or column.ndim != 1:
                raise CommandError(_not_numbers(name, column))
            yield column

    def matrix(self, wanted: Sequence[str]) -> Array | None:
        """Give columns of one array as a view if they lie side by side, else as a copy."""
        places = [self._places[name] for name in wanted]
        key = places[0].key
        if any(place.key != key or not isinstance(place.index, tuple) for place in places):
            return None
        array = np.asarray(self._load(key))
        if not is_numeric(array):
            return None
        numbers = [place.index[1] for place in places]
        first, last = numbers[0], numbers[-1]
        side_by_side = numbers == list(range(first, last + 1))
        chosen = array[:, first : last + 1] if side_by_side else array[:, numbers]
        return chosen.astype(precision(chosen.dtype), copy=False)


def npy(path: Path) -> ArrayTable:
    """Open a .npy file of a 2-D array, whose columns are "0", "1", ..., or a structured one.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    ArrayTable

    Raises
    ------
    CommandError
        If it cannot be read or holds no columns.
    """
    array = mapped(path)
    if array.ndim == 2 and array.dtype.names is None:
        places = _numbered("", "", array.shape[1])
    elif array.ndim == 1 and array.dtype.names is not None:
        places = [Place(name, "", name) for name in array.dtype.names]
    else:
        raise CommandError(
            f"{path} holds an array of shape {array.shape} and dtype {array.dtype}: columns are "
            "in a 2-D array of numbers or a 1-D array with field names"
        )
    return ArrayTable(places, lambda _: array)


def mapped(path: Path) -> Array:
    """Map a .npy file into memory.

    Raises
    ------
    CommandError
        If it cannot be read, or holds Python objects: to read them is to run what they say.
    """
    with reading(path):
        with path.open("rb") as stream:
            kind = _header(stream)[2]
        if kind.hasobject:
            raise CommandError(f"{path} {OBJECTS}")
        array: Array = npy_format.open_memmap(path, mode="r")
    return array


def npz(path: Path) -> ArrayTable:
    """Open a .npz file: a 1-D array is a column, a 2-D array K the columns "K0", "K1", ....

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    ArrayTable

    Raises
    ------
    CommandError
        If it cannot be read, or an array is not of such a shape or of another length.
    """
    places: list[Place] = []
    lengths: dict[str, int] = {}
    with reading(path), zipfile.ZipFile(path) as file:
        for member in file.namelist():
            key = member.removesuffix(".npy")
            with file.open(member) as stream:
                shape, _, kind = _header(stream)
            if kind.hasobject:
                raise CommandError(f"array {key!r} of {path} {OBJECTS}")
            if len(shape) not in (1, 2):
                raise CommandError(
                    f"array {key!r} of {path} has the shape {shape}: columns are in arrays of one "
                    "or two dimensions"
                )
            lengths[key] = shape[0]
            places += [Place(key, key, ...)] if len(shape) == 1 else _numbered(key, key, shape[1])
    if len(set(lengths.values())) > 1:
        rows = ", ".join(f"{key!r} {length}" for key, length in lengths.items())
        raise CommandError(f"the arrays of {path} differ in rows: {rows}")

    @cache
    def load(key: str) -> Array:
        with reading(path), zipfile.ZipFile(path) as file, file.open(f"{key}.npy") as stream:
            array: Array = npy_format.read_array(stream, allow_pickle=False)
        return array

    return ArrayTable(places, load)


def _numbered(key: str, prefix: str, count: int) -> list[Place]:
    return [Place(f"{prefix}{j}", key, (slice(None), j)) for j in range(count)]


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read an array's shape, order and dtype without the array."""
    version = npy_format.read_magic(stream)
    if version == (1, 0):
        return npy_format.read_array_header_1_0(stream)
    return npy_format.read_array_header_2_0(stream)


def is_numeric(array: Array) -> bool:
    """Whether elements are real numbers, of at most the size of float64."""
    return array.dtype.kind in "biuf" and array.dtype.itemsize <= 8


def _not_numbers(name: str, column: Array) -> str:
    if column.dtype.kind == "f" and column.ndim == 1:
        return f"column {name!r} holds {column.dtype}, more than float64: save it by astype(float)"
    what = "text" if column.dtype.kind in "US" else f"{column.dtype}"
    if column.ndim != 1:
        what = f"arrays of shape {column.shape[1:]}"
    value = f": row 1 is {reprlib.repr(column[0].tolist())}" if len(column) else ""
    return f"column {name!r} holds {what}, not numbers{value}"
