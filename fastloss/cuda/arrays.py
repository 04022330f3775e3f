"""Arrays on a GPU as NumPy describes arrays: shape, strides, dtype and address.

A ``Remote`` is a NumPy array over an address of the device. NumPy knows all there is to know about
broadcasting, strides and overlaps, so the checks of the host's arrays serve for these too; its
elements are never read or written from here, which would end the process.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastloss.cuda import launch
from fastloss.cuda.address import addresses
from fastloss.cuda.libraries import Library, library_of
from fastloss.place import Host, as_real, home_of, require_real, type_name
from fastloss.typing import Array


class Remote(np.ndarray[Any, np.dtype[Any]]):
    """An array on a GPU, whose elements only kernels see."""

    owner: Any

    def __array_finalize__(self, source: Any) -> None:
        """Keep the memory alive as long as a view of it."""
        self.owner = getattr(source, "owner", None)

    def __repr__(self) -> str:
        """Say what it is without reading it, as a debugger would."""
        return f"<{self.dtype} array of shape {self.shape} on a GPU>"

    __str__ = __repr__


class _Interface:
    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


def remote(name: str, owner: Any) -> Remote:
    """Describe an array that has ``__cuda_array_interface__``.

    Raises
    ------
    TypeError
        If it has none, or the array has a mask, elements that are no real numbers of the
        machine's byte order, or elements at odd addresses; the message names it ``name``.
    """
    interface = interface_of(name, owner)
    if interface.get("mask") is not None:
        raise TypeError(f"{name} must be an array without a mask")
    address, read_only = interface["data"]
    described = {
        "shape": tuple(interface["shape"]),
        "strides": interface.get("strides"),
        "typestr": interface["typestr"],
        # NumPy takes no address of 0, which arrays without elements have.
        "data": (address or 64, read_only),
        "version": 3,
    }
    array = np.asarray(_Interface(described)).view(Remote)
    array.owner = owner
    require_real(name, array, owner)
    if not array.dtype.isnative:
        raise TypeError(f"{name} must have the byte order of the machine, got {array.dtype.str}")
    size = array.dtype.itemsize
    if address % size or any(step % size for step in array.strides):
        raise TypeError(f"{name} must have its elements at multiples of their size in memory")
    return array


def interface_of(name: str, owner: Any) -> dict[str, Any]:
    """Give an array's ``__cuda_array_interface__``, in which foreign strides may be None."""
    try:
        # JAX's interface names no stream that kernels could wait for.
        if hasattr(owner, "block_until_ready"):
            owner.block_until_ready()
        interface: dict[str, Any] = owner.__cuda_array_interface__
    except Exception as error:  # whatever the library says: torch has none for some dtypes
        raise TypeError(f"{name} must be an array of real numbers: {error}") from error
    return interface


class Device:
    """The memory of one GPU; results are of the caller's library."""

    pending: Sequence[tuple[Array, int | float]] = ()
    """Arrays of one element, each with the number that a kernel is to write there."""

    def __init__(self, index: int, library: Library) -> None:
        self.index = index
        self.library = library

    def __str__(self) -> str:
        """Name it as torch does."""
        return f"cuda:{self.index}"

    def array(self, name: str, value: object) -> Array:
        """Describe an argument; what lies elsewhere is copied to the device."""
        home = home_of(name, value)
        if home != str(self):
            host = as_real(name, value) if home == "cpu" else fetched(name, value)
            if isinstance(value, bool | int | float | np.generic):
                return self._number(host)
            with launch.active(self.index), self._room(host.shape, host.dtype):
                value = launch.send(host)
        return remote(name, value)

    def buffer(self, name: str, out: object) -> Array:
        """Describe the array that a caller wants a result in."""
        home = home_of(name, out)
        if home != str(self):
            raise TypeError(
                f"{name} must be an array on {self} or None, got {type_name(out)} on {home}"
            )
        return remote(name, out)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], order: Any) -> Array:
        """Give a new array of the caller's library."""
        with self._room(shape, dtype):
            made = self.library.empty(self.index, shape, dtype, order)
        return remote("the result", made)

    def scratch(self, count: int, dtype: np.dtype[Any]) -> Array:
        """Give memory that only kernels see, as bytes: JAX has no float64 unless told to."""
        return self.empty((count * dtype.itemsize,), np.dtype(np.uint8), "C").view(dtype)

    def _number(self, host: Array) -> Array:
        """Give a number's place on the device, so that no copy of it has to be waited for."""
        memory = self.scratch(1, host.dtype)
        number: bool | int | float = host.item()
        if isinstance(number, bool):
            self.pending = (*self.pending, (memory.view(np.uint8), int(number)))
        else:
            self.pending = (*self.pending, (memory, number))
        return memory.reshape(())

    def give(self, result: Array) -> Array:
        """Give a result as the array that it describes."""
        self.library.finish()
        given: Array = result.owner  # type: ignore[attr-defined]
        return given

    @contextmanager
    def _room(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[None]:
        """Turn each library's own error for a full device into one that says what was asked for."""
        try:
            yield
        except Exception as error:
            said = str(error).lower().replace("_", " ")  # CUDA_ERROR_OUT_OF_MEMORY, from Numba
            if not isinstance(error, MemoryError) and "out of memory" not in said:
                raise
            raise MemoryError(
                f"no room on {self} for a {dtype} array of shape {shape}: {error}"
            ) from error


class Visit(Device):
    """A GPU that arrays of the host are sent to, and whose results are fetched."""

    def __init__(self, index: int, library: Library, like: Any = None) -> None:
        super().__init__(index, library)
        self.like = like

    def give(self, result: Array) -> Array:
        """Fetch a result."""
        with launch.active(self.index):
            fetched = launch.fetch(result, launch.stream_at(self.library.stream(self.index)))
        # In memory it is one run of elements, in the result's own order.
        order: Any = "C" if result.flags.c_contiguous else "F"
        return Host(self.like).give(fetched.reshape(result.shape, order=order))


class Fetched(Host):
    """The host, for arrays of a GPU that are fetched first."""

    def array(self, name: str, value: object) -> Array:
        """Fetch an argument."""
        return as_real(name, value) if home_of(name, value) == "cpu" else fetched(name, value)


def fetched(name: str, value: Any) -> Array:
    """Copy an array of a GPU to the host, as it lies in memory."""
    device = remote(name, value)
    index = int(home_of(name, value).partition(":")[2])
    with launch.active(index):
        memory = launch.fetch(device, launch.stream_at(library_of(value).stream(index)))
    low, _ = addresses(device)
    start = device.__array_interface__["data"][0] - low
    return np.ndarray(device.shape, device.dtype, memory.data, start, device.strides)
