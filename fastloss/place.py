"""Where arrays live: how arguments are seen as NumPy sees arrays, and what results are given as."""

from typing import Any, Protocol, cast

import numpy as np

from fastloss.typing import Array


class Place(Protocol):
    """Memory that a back end computes in."""

    def array(self, name: str, value: object) -> Array:
        """Give an argument as an array of real numbers; the error names the argument."""

    def buffer(self, name: str, out: object) -> Array:
        """Give the array that a caller wants a result in."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: Any) -> Array:
        """Give a new array."""

    def give(self, result: Array) -> Array:
        """Give a result as the caller's kind of array, which need not be NumPy's."""


class Host:
    """The memory of this process; results are NumPy arrays."""

    def array(self, name: str, value: object) -> Array:
        """Give an argument as an array of real numbers, see :func:`as_real`."""
        return as_real(name, value)

    def buffer(self, name: str, out: object) -> Array:
        """Give the array that a caller wants a result in."""
        if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
            raise TypeError(f"{name} must be a NumPy array or None, got {type_name(out)}")
        return np.asarray(out)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: Any) -> Array:
        """Give a new array."""
        return np.empty(shape, dtype, order)

    def give(self, result: Array) -> Array:
        """Give a result; one without axes as a scalar."""
        return result if result.ndim else cast(Array, result[()])


HOST = Host()


def as_real(name: str, value: object) -> Array:
    """Give ``value`` as a plain array of bools, integers or floats of at most 64 bits."""
    if type(value) is np.ndarray:
        array = value
    elif isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} must be an array without a mask, got a masked array: fill or leave out what "
            "it masks"
        )
    else:
        try:
            array = np.asarray(value)
        except Exception as error:  # whatever the object's own __array__ raises
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(f"{name} must be an array of real numbers: {error}") from error
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        got = f"the dtype {array.dtype}"
        if array.dtype == object:
            got += f" ({type_name(value)})"
        raise TypeError(f"{name} must hold real numbers of at most 64 bits, got {got}")
    return array


def type_name(value: object) -> str:
    """Name an object's type as in an error message."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
