"""What touches the driver: kernel arguments, streams and copies."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba import cuda

from fastloss.cuda.address import addresses
from fastloss.cuda.jit import SIMULATED, THREADS
from fastloss.typing import Array

if SIMULATED:
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
else:
    from fastloss.cuda import prepared


# Devices that were made current here -> their contexts, which other libraries share.
_contexts: dict[int, int] = {}


def is_active(index: int) -> bool:
    """Whether a device is known to be the current one."""
    if SIMULATED:
        return True
    known = _contexts.get(index)
    return known is not None and prepared.context() == known


@contextmanager
def active(index: int) -> Iterator[None]:
    """Make a device the current one."""
    if SIMULATED or is_active(index):
        yield
    else:
        with cuda.gpus[index]:
            _contexts[index] = prepared.context()
            yield


def argument(array: Array) -> Any:
    """Give the memory that an array lies in as a kernel's argument: one contiguous vector.

    Kernels find the elements of a strided array by numbers of their own.
    """
    low, size = addresses(array)
    return vector(low, size // array.dtype.itemsize, array.dtype)


def vector(address: int, count: int, dtype: np.dtype[Any]) -> Any:
    """Give elements in memory as a kernel's argument."""
    if SIMULATED:
        return FakeCUDAArray(_simulated(address, count, dtype))
    return prepared.Vector(address, count, dtype)


def stream_at(address: int) -> Any:
    """Give the stream of this address."""
    return 0 if SIMULATED else address


def run(kernel: Any, blocks: int, stream: Any, *arguments: Any) -> None:
    """Launch a kernel."""
    if SIMULATED:
        kernel[blocks, THREADS, 0](*arguments)
    else:
        prepared.launch(kernel, blocks, stream, arguments)


def new(shape: tuple[int, ...], dtype: np.dtype[Any], order: str) -> Any:
    """Give a new array of Numba's."""
    if SIMULATED:
        return Simulated(np.empty(shape, dtype, order))  # type: ignore[call-overload]
    return cuda.device_array(shape, dtype, order=order)


def send(array: Array) -> Any:
    """Copy an array to the current device, contiguous and in the machine's byte order."""
    order: Any = "F" if array.flags.fnc else "C"
    array = np.asarray(array, array.dtype.newbyteorder("="), order=order)
    return Simulated(array.copy("A")) if SIMULATED else cuda.to_device(array)


def send_to(address: int, array: Array, stream: Any) -> None:
    """Copy a contiguous array of the host to an address, after the work before it."""
    if SIMULATED:
        _simulated(address, array.size, array.dtype)[:] = array
    else:
        prepared.send(address, array, stream)


def fetch(array: Array, stream: Any) -> Array:
    """Copy the memory that an array lies in to the host, when the work before it is done."""
    low, size = addresses(array)
    return fetch_at(low, size // array.dtype.itemsize, array.dtype, stream)


def fetch_at(address: int, count: int, dtype: np.dtype[Any], stream: Any) -> Array:
    """Copy elements in memory to the host, when the work before it is done."""
    if SIMULATED:
        return _simulated(address, count, dtype).copy()
    fetched = np.empty(count, dtype)
    if count:
        prepared.fetch(address, fetched, stream)
    return fetched


def _simulated(address: int, count: int, dtype: np.dtype[Any]) -> Array:
    memory: Any = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    return np.frombuffer(memory, dtype, count)


class Simulated:
    """A host array with the interface that the simulator's own arrays lack."""

    def __init__(self, array: Array) -> None:
        self.array = array

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Where the array lies."""
        return {**self.array.__array_interface__, "version": 3}
