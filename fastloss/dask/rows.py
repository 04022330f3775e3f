"""What a linear model takes: Dask arrays whose chunks are rows, and meet."""

import warnings
from typing import Any, NamedTuple

import dask.array as da
from dask.array.utils import meta_from_array

from fastloss.arrays import caller_level
from fastloss.dask.arguments import checked
from fastloss.model import check_matrix, check_vector
from fastloss.place import home_of


class Rows(NamedTuple):
    """X, y and weights."""

    X: da.Array
    y: da.Array
    weight: da.Array | None
    held: tuple[str, ...]
    """Which of them come from this process's memory."""


def rows(X: Any, y: Any, weight: Any) -> Rows:
    """Check the rows of a linear model, of which one is a Dask array at least.

    Raises
    ------
    TypeError
        If one does not hold real numbers of at most 64 bits in the host's memory.
    ValueError
        If shapes do not fit, or sizes of chunks are not known.

    Warns
    -----
    da.PerformanceWarning
        If columns lie in several chunks, or chunks do not meet, so that arrays are rechunked.
    """
    given = {"X": X, "y": y} if weight is None else {"X": X, "y": y, "weight": weight}
    arrays = {name: _array(name, value) for name, value in given.items()}
    check_matrix(arrays["X"].shape)
    n = arrays["X"].shape[0]
    for name in given:
        if name != "X":
            check_vector(name, arrays[name].shape, n)
    first = next(value for value in arrays.values() if isinstance(value, da.Array))
    chunks = arrays["X"].chunks[0] if isinstance(arrays["X"], da.Array) else first.chunks[0]
    met = {name: _meet(name, array, chunks) for name, array in arrays.items()}
    held = tuple(name for name in given if not isinstance(given[name], da.Array))
    return Rows(met["X"], met["y"], met.get("weight"), held)


def _array(name: str, value: Any) -> Any:
    array = checked(name, value)
    if isinstance(array, da.Array):
        if home_of(name, meta_from_array(array)) != "cpu":
            raise TypeError(
                f"{name} must have chunks in the host's memory for a linear model, got "
                f"{type(array._meta).__name__}: pass {name}.map_blocks(cupy.asnumpy)"
            )
        if any(size != size for axis in array.chunks for size in axis):
            raise ValueError(
                f"{name} must have chunks of known size, got the shape {array.shape}: call "
                f"{name}.compute_chunk_sizes() first"
            )
    return array


def _meet(name: str, array: Any, rows: tuple[int, ...]) -> da.Array:
    chunks = (rows, *((n,) for n in array.shape[1:]))
    if not isinstance(array, da.Array):
        return da.from_array(array, chunks)
    if array.chunks == chunks:
        return array
    if array.chunks[0] == rows:
        what = f"{name} has its columns in {array.numblocks[1]} chunks"
    else:
        what = f"the chunks of {name} are not those of X's rows"
    warnings.warn(
        f"{what}, so {name} will be rechunked: rechunk beforehand to save that",
        da.PerformanceWarning,
        stacklevel=caller_level(),
    )
    return array.rechunk(chunks)
