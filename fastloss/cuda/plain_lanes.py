"""What ``lanes.py`` does, in NumPy, for the simulator."""

from typing import Any

import numpy as np

from fastloss.cuda.jit import VECTOR_BYTES


def _lane(dtype: Any) -> Any:
    return np.float32 if dtype == np.float16 else dtype.type


def load(array: Any, i: Any) -> tuple[Any, ...]:
    """Load the lanes that start at element i."""
    lane = _lane(array.dtype)
    return tuple(lane(array[i + k]) for k in range(VECTOR_BYTES // array.dtype.itemsize))


def store(array: Any, i: Any, lanes: tuple[Any, ...]) -> None:
    """Store lanes from element i on."""
    for k, lane in enumerate(lanes):
        array[i + k] = lane


def plus(a: Any, b: Any) -> Any:
    """Give ``a + b``."""
    return a + b


def multiply_add(a: Any, b: Any, c: Any) -> Any:
    """Give ``a * b + c``; NumPy rounds it twice."""
    return a * b + c
