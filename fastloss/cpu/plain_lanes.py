"""The functions of ``lanes.py`` in plain NumPy, for ``NUMBA_DISABLE_JIT=1`` and its debuggers."""

import ctypes
from typing import Any

import numpy as np

from fastloss.typing import Array, Vector


def zeros() -> Vector:
    """Give eight zeros."""
    return np.zeros(8)


def load(array: Array, row: int, column: int, near: int | None, far: int | None) -> Vector:
    """Load ``array[row, column : column + 8]``."""
    return _row(array, row)[column : column + 8].astype(np.float64)


def entry(array: Array, row: int, column: int) -> float:
    """Give ``array[row, column]``."""
    return float(_row(array, row)[column])


def load_vector(array: Vector, start: int) -> Vector:
    """Load ``array[start : start + 8]``."""
    return array[start : start + 8].astype(np.float64)


def load_some(array: Array, row: int, column: int, count: int) -> Vector:
    """Load ``array[row, column : column + count]``, fewer than eight, and zeros after them."""
    return load_some_of_vector(_row(array, row)[column:], count)


def load_some_of_vector(array: Vector, count: int) -> Vector:
    """Load ``array[:count]``, fewer than eight, and zeros after them."""
    return np.pad(array[:count].astype(np.float64), (0, 8 - count))


def drop(lanes: Vector, count: int) -> Vector:
    """Make the first ``count`` lanes zero."""
    return np.where(np.arange(8) < count, 0.0, lanes)


def keep(lanes: Vector, count: int) -> Vector:
    """Make all but the first ``count`` lanes zero."""
    return np.where(np.arange(8) < count, lanes, 0.0)


def spread(number: float) -> Vector:
    """Give a number eight times."""
    return np.full(8, number)


def multiply_add(sums: Vector, a: Vector, b: Vector | float) -> Vector:
    """Give ``sums + a * b``."""
    return sums + a * b


def add(a: Vector, b: Vector) -> Vector:
    """Add two."""
    return a + b


def total(lanes: Vector) -> float:
    """Add up the eight, by halves."""
    four = lanes[:4] + lanes[4:]
    two = four[:2] + four[2:]
    return float(two[0] + two[1])


def add_totals(array: Vector, start: int, a: Vector, b: Vector, c: Vector, d: Vector) -> None:
    """Add to ``array[start : start + 4]`` the totals of four."""
    array[start : start + 4] += [total(lanes) for lanes in (a, b, c, d)]


def store(array: Vector, start: int, lanes: Vector) -> None:
    """Do ``array[start : start + 8] = lanes``."""
    array[start : start + 8] = lanes


def add_to(array: Vector, start: int, lanes: Vector) -> None:
    """Do ``array[start : start + 8] += lanes``."""
    array[start : start + 8] += lanes


def add_some_to(array: Vector, count: int, lanes: Vector) -> None:
    """Do ``array[:count] += lanes[:count]``."""
    array[:count] += lanes[:count]


def _row(array: Any, row: int) -> Vector:
    """Give a row of a matrix, or of the pair that ``apart.py`` tells of."""
    if not isinstance(array, tuple):
        found: Vector = array[row]
        return found
    places, first = array
    memory = (ctypes.c_char * first.nbytes).from_address(int(places[row]))
    return np.frombuffer(memory, first.dtype)
