"""Where arrays live: how arguments are seen as NumPy sees arrays, and what results are given as."""

import sys
from typing import Any, Protocol, TypeAlias

import numpy as np

from fastloss.typing import Array

# DLPack's numbers for memory that the host reads, and that a CUDA device reads.
_DLPACK_HOST = (1, 3)
_DLPACK_CUDA = (2, 13)

# "cpu", "cuda:0" and so on.
Home: TypeAlias = str


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
    """The memory of this process; results are of the kind of ``like``, NumPy arrays without it."""

    def __init__(self, like: Any = None) -> None:
        self.like = like

    def __str__(self) -> str:
        """Name it as torch does."""
        return "cpu"

    def array(self, name: str, value: object) -> Array:
        """Give an argument as an array of real numbers, see :func:`as_real`."""
        return as_real(name, value)

    def buffer(self, name: str, out: object) -> Array:
        """Give the array that a caller wants a result in, or a view of another library's."""
        if isinstance(out, np.ndarray) and not isinstance(out, np.ma.MaskedArray):
            return np.asarray(out)
        if not is_foreign(out):
            raise TypeError(f"{name} must be a NumPy array or None, got {type_name(out)}")
        array = as_real(name, out)
        if array.size and not np.may_share_memory(array, np.asarray(out)):
            raise TypeError(
                f"{name} must be one block of memory, but {type_name(out)} gives NumPy a copy"
            )
        return array

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: Any) -> Array:
        """Give a new array."""
        return np.empty(shape, dtype, order)

    def give(self, result: Array) -> Array:
        """Give a result; in NumPy, one without axes as a scalar."""
        if self.like is not None:
            given: Array = like(self.like, result)
            return given
        return result if result.ndim else result[()]


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
    elif hasattr(value, "keys") and not hasattr(value, "__array__"):
        raise TypeError(
            f"{name} must be an array, got {type_name(value)}, which has arrays by their names: "
            "pass one of them"
        )
    else:
        try:
            array = np.asarray(value)
        except Exception as error:  # whatever the object's own __array__ raises
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(f"{name} must be an array of real numbers: {error}") from error
        if array.dtype == object:
            array = _from_nullable(value, array)
    require_real(name, array, value)
    return array


def _from_nullable(value: Any, array: Array) -> Array:
    """Give numbers of pandas whose dtypes know of missing ones, which become NaN, or the array."""
    dtypes = getattr(value, "dtypes", None)
    kinds = [getattr(dtype, "kind", "O") for dtype in np.ravel(np.array(dtypes, object))]
    if not hasattr(value, "to_numpy") or not kinds or not set(kinds) <= set("biuf"):
        return array
    numbers: Array = value.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def require_real(name: str, array: Array, value: object) -> None:
    """Raise TypeError unless an array, made from ``value``, has a dtype of real numbers."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        got = f"the dtype {array.dtype}"
        if array.dtype == object:
            got += f" ({type_name(value)})"
        raise TypeError(f"{name} must hold real numbers of at most 64 bits, got {got}")


def type_name(value: object) -> str:
    """Name an object's type as in an error message."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def library(value: object) -> str:
    """Name the library that an object's class comes from."""
    return type(value).__module__.partition(".")[0]


def home_of(name: str, value: Any) -> Home:
    """Say where an array lives; what is no array will become one on the host."""
    if isinstance(value, np.ndarray):
        return "cpu"
    if hasattr(value, "__dask_graph__"):
        what = "to_dask_array(lengths=True)" if hasattr(value, "to_dask_array") else "compute()"
        raise TypeError(
            f"{name} must not be this Dask collection, got {type_name(value)}: pass {name}.{what}"
        )
    if library(value) == "torch" and getattr(value, "requires_grad", False):
        raise TypeError(
            f"{name} requires grad, which is not recorded here: pass {name}.detach(), or use the "
            "losses of fastloss.torch"
        )
    if hasattr(value, "__dlpack_device__"):
        try:
            kind, index = value.__dlpack_device__()
        except Exception as error:  # whatever the library says: torch's "meta" has no memory
            raise TypeError(f"{name} must live on the CPU or a CUDA device: {error}") from error
        if kind in _DLPACK_CUDA:
            return f"cuda:{index}"
        if kind in _DLPACK_HOST:
            return "cpu"
        raise TypeError(
            f"{name} must live on the CPU or a CUDA device, got an array on DLPack's device type "
            f"{int(kind)}"
        )
    if hasattr(value, "__cuda_array_interface__"):
        memory: Any = getattr(value, "gpu_data", None)  # of Numba's arrays
        return f"cuda:{memory.context.device.id if hasattr(memory, 'context') else 0}"
    return "cpu"


def is_foreign(value: object) -> bool:
    """Whether an object is another library's array, of which results are made too."""
    if isinstance(value, np.ndarray | np.generic):
        return False
    return library(value) in ("torch", "pandas") or hasattr(value, "__array_namespace__")


def like(value: Any, result: Array) -> Any:
    """Give a NumPy result as the kind of another library's array."""
    name = library(value)
    if name == "torch":
        return sys.modules["torch"].from_numpy(result)
    if name == "pandas":
        same = value.shape == result.shape and hasattr(value, "index")
        return type(value)(result, **_axes(value)) if same else result
    return value.__array_namespace__().asarray(result)


def _axes(value: Any) -> dict[str, Any]:
    names = ("index", "name") if value.ndim == 1 else ("index", "columns")
    return {name: getattr(value, name) for name in names}
