"""What a caller may pass beside Dask arrays, and chunks that meet.

Shapes and dtypes are checked here, where nothing is computed; what the chunks hold, when they are.
"""

import warnings
from math import isnan
from typing import Any, NamedTuple, TypeAlias

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array

from fastloss.arrays import caller_level, residual_shape, result_dtype
from fastloss.place import as_real, home_of, require_real, type_name

Shape: TypeAlias = tuple[int, ...]

NAMES = "input", "target", "weight"


class Arguments(NamedTuple):
    """The arguments of one call, checked, with chunks that meet."""

    values: tuple[Any, ...]
    """Input, target and weight: Dask arrays that broadcast, numbers, or None."""
    input_shape: Shape
    """The shape of the gradient."""
    shape: Shape
    """The residual's shape; an axis of unknown length is NaN."""
    dtype: np.dtype[Any]
    """The results' dtype."""
    meta: Any
    """An empty array of the results' kind and dtype."""

    @property
    def labels(self) -> tuple[int, ...]:
        """The axes of a block, see :func:`labels`."""
        return _labels(len(self.shape))

    @property
    def unknown(self) -> bool:
        """Whether chunks have unknown sizes."""
        return _unknown(self.shape)

    @property
    def folded(self) -> tuple[int, ...]:
        """The axes along which the input is broadcast."""
        if self.unknown:
            return ()
        padded = (1,) * (len(self.shape) - len(self.input_shape)) + self.input_shape
        return tuple(k for k, n in enumerate(self.shape) if padded[k] != n)


def arguments(given: tuple[Any, Any, Any]) -> Arguments:
    """Check the arguments of a loss, of which one is a Dask array at least.

    Raises
    ------
    TypeError
        If one of them does not hold real numbers of at most 64 bits.
    ValueError
        If their shapes do not fit, or are not known to fit.

    Warns
    -----
    da.PerformanceWarning
        If chunks of Dask arrays do not meet, so that these are rechunked.
    """
    named = {n: v for n, v in zip(NAMES, given, strict=True) if n != "weight" or v is not None}
    arrays = {name: _whole(checked(name, value)) for name, value in named.items()}
    dtype = result_dtype(*((named[name], arrays[name]) for name in named))
    shape = _shape(arrays)
    meta = meta_from_array(_first_dask(arrays), ndim=len(shape), dtype=dtype)
    met, chunks = _meet(arrays)
    input_shape = arrays["input"].shape
    if not _unknown(shape) and shape not in (input_shape, arrays["target"].shape):
        # Or each block would warn that it makes more residuals than it has elements.
        whole = tuple(chunks[label] for label in _labels(len(shape)))
        met["target"] = da.broadcast_to(met["target"], shape, whole)
    # Python's own numbers stay what they are, so that blocks promote them as weakly as here.
    numbers = {n: v if isinstance(v, bool | int | float) else arrays[n] for n, v in named.items()}
    values = tuple((numbers | met).get(name) for name in NAMES)
    return Arguments(values, input_shape, shape, dtype, meta)


def _whole(array: Any) -> Any:
    """Join the chunks of axes of length 1, as (0, 1): it is chunks of one that broadcast."""
    if not isinstance(array, da.Array):
        return array
    cut = (k for k, n in enumerate(array.shape) if n == 1 and array.numblocks[k] > 1)
    joined = dict.fromkeys(cut, 1)
    return array.rechunk(joined) if joined else array


def labels(value: Any) -> tuple[int, ...] | None:
    """Give numbers to the axes of a Dask array, from the last one, as they meet in broadcasting."""
    return _labels(value.ndim) if isinstance(value, da.Array) else None


def _labels(ndim: int) -> tuple[int, ...]:
    return tuple(range(ndim))[::-1]


def checked(name: str, value: Any) -> Any:
    """Give a Dask array as it is, anything else as a NumPy array."""
    if not isinstance(value, da.Array):
        if home_of(name, value) != "cpu":
            raise TypeError(
                f"{name} must be a Dask array too if it lives on a GPU, got {type_name(value)}: "
                f"pass dask.array.from_array({name}, asarray=False)"
            )
        return as_real(name, value)
    meta = meta_from_array(value)
    if home_of(name, meta) == "cpu":
        as_real(name, meta)
    else:
        require_real(name, meta, meta)
    return value


def _first_dask(arrays: dict[str, Any]) -> da.Array:
    return next(value for value in arrays.values() if isinstance(value, da.Array))


def _shape(arrays: dict[str, Any]) -> Shape:
    """Give the residual's shape; where sizes are unknown, all arrays must seem to have one."""
    unknown = next((name for name, array in arrays.items() if _unknown(array.shape)), None)
    if unknown is None:
        x, y, w = (arrays[name].shape if name in arrays else None for name in NAMES)
        return residual_shape(x, y, w)  # type: ignore[arg-type]
    shape: Shape = arrays[unknown].shape
    for name, array in arrays.items():
        if array.ndim and _seen(array) != _seen(arrays[unknown]):
            raise ValueError(
                f"{unknown} has chunks of unknown size, so nobody knows whether {name} of shape "
                f"{array.shape} meets it: call compute_chunk_sizes() on it first"
            )
    return shape


def _unknown(shape: Shape) -> bool:
    return any(map(isnan, shape))


def _seen(array: Any) -> list[Any]:
    """Describe a shape so that equal ones are equal: NaN is not."""
    if not isinstance(array, da.Array):
        return list(array.shape)
    return [
        f"{blocks} blocks" if isnan(n) else n
        for n, blocks in zip(array.shape, array.numblocks, strict=True)
    ]


def _meet(arrays: dict[str, Any]) -> tuple[dict[str, da.Array], dict[int, Any]]:
    """Give the arrays that have axes, or are Dask's, with chunks that meet; and these chunks."""
    given = {name: array for name, array in arrays.items() if isinstance(array, da.Array)}
    chunks, met = _unify(given)
    moved = [name for name in given if met[name].name != given[name].name]
    if moved:
        warnings.warn(
            f"the chunks of {' and '.join(given)} do not meet, so {' and '.join(moved)} will be "
            "rechunked: rechunk beforehand to save that",
            da.PerformanceWarning,
            stacklevel=caller_level(),
        )
    for name, array in arrays.items():
        if name not in given and array.ndim:
            rest: Any = "auto" if array.size else -1  # Dask would divide by the size
            sizes = tuple(
                chunks[label] if label in chunks and sum(chunks[label]) == n else rest
                for label, n in zip(_labels(array.ndim), array.shape, strict=True)
            )
            met[name] = da.from_array(array, sizes)
    chunks, met = _unify(met)
    return met, chunks


def _unify(arrays: dict[str, da.Array]) -> tuple[dict[Any, Any], dict[str, da.Array]]:
    pairs = [part for array in arrays.values() for part in (array, labels(array))]
    chunks, met = da.core.unify_chunks(*pairs, warn=False)
    return chunks, dict(zip(arrays, met, strict=True))
