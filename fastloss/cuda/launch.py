"""What touches the driver: kernel arguments, streams and copies."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba import cuda
from numba.cuda.core import config

from fastloss.cuda.address import addresses
from fastloss.cuda.jit import SIMULATED, THREADS
from fastloss.typing import Array

if SIMULATED:
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray


@contextmanager
def active(index: int) -> Iterator[None]:
    """Make a device the current one."""
    if SIMULATED:
        yield
    else:
        with cuda.gpus[index]:
            yield


def argument(array: Array) -> Any:
    """Give the memory that an array lies in as a kernel's argument: one contiguous vector.

    Numba takes a strided array that it sees through the interface for a contiguous one, so it
    never sees strides: kernels find the elements by numbers of their own.
    """
    low, size = addresses(array)
    count = size // array.dtype.itemsize
    if SIMULATED:
        memory: Any = (ctypes.c_char * size).from_address(low)
        fake = FakeCUDAArray(np.frombuffer(memory, array.dtype, count))
        fake.owner = array
        return fake
    interface = {
        "shape": (count,),
        "strides": None,
        "typestr": array.dtype.str,
        "data": (low, False),
        "version": 3,
    }
    owner = getattr(array, "owner", None)
    return cuda.from_cuda_array_interface(interface, owner=owner, sync=False)


def stream_at(address: int) -> Any:
    """Give the stream of this address."""
    return 0 if SIMULATED or not address else cuda.external_stream(address)


def run(kernel: Any, blocks: int, stream: Any, *arguments: Any) -> None:
    """Launch a kernel."""
    warns = config.CUDA_LOW_OCCUPANCY_WARNINGS
    config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # a small array, or a last sum, has few blocks
    try:
        configured = kernel[blocks, THREADS, stream]
    finally:
        config.CUDA_LOW_OCCUPANCY_WARNINGS = warns
    configured(*arguments)


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


def fetch(array: Array, stream: Any) -> Array:
    """Copy the memory that an array lies in to the host, when the work before it is done."""
    if not array.size:
        return np.empty(0, array.dtype)
    fetched: Array = argument(array).copy_to_host(stream=stream)
    if not SIMULATED and stream:
        stream.synchronize()
    return fetched


class Simulated:
    """A host array with the interface that the simulator's own arrays lack."""

    def __init__(self, array: Array) -> None:
        self.array = array

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Where the array lies."""
        return {**self.array.__array_interface__, "version": 3}
