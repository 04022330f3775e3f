"""The array libraries of the GPU: what each calls a new array, and its current stream.

Results are given in the library that the arguments came from, made by its own allocator, and
kernels run on its current stream, so that its memory pools and its order of work stay intact.
"""

import sys
from typing import Any, Protocol

import numpy as np
from numba import cuda

from fastloss.cuda import launch
from fastloss.place import library

LEGACY_STREAM = 0


class Library(Protocol):
    """A library of device arrays."""

    def empty(self, device: int, shape: tuple[int, ...], dtype: np.dtype[Any], order: str) -> Any:
        """Give a new array on a device."""

    def stream(self, device: int) -> int:
        """Give the address of the stream that the library works on now."""

    def finish(self) -> None:
        """Do what the library needs before its new arrays may be read."""


class _OnItsStream:
    """A library that reads its arrays on the stream they were written on."""

    def finish(self) -> None:
        """Nothing: the stream keeps the order."""


class Torch(_OnItsStream):
    """PyTorch."""

    def empty(self, device: int, shape: tuple[int, ...], dtype: np.dtype[Any], order: str) -> Any:
        """Give a new tensor."""
        torch = sys.modules["torch"]
        kind = getattr(torch, dtype.name)
        if order == "F":
            tensor = torch.empty(shape[::-1], dtype=kind, device=f"cuda:{device}")
            return tensor.permute(*range(len(shape))[::-1])
        return torch.empty(shape, dtype=kind, device=f"cuda:{device}")

    def stream(self, device: int) -> int:
        """Give torch's current stream."""
        torch = sys.modules["torch"]
        try:
            # torch's compiler asks so: the public call makes an object of its own.
            return int(torch._C._cuda_getCurrentRawStream(device))
        except AttributeError:
            return int(torch.cuda.current_stream(device).cuda_stream)


class Cupy(_OnItsStream):
    """CuPy."""

    def empty(self, device: int, shape: tuple[int, ...], dtype: np.dtype[Any], order: str) -> Any:
        """Give a new CuPy array."""
        cupy = sys.modules["cupy"]
        with cupy.cuda.Device(device):
            return cupy.empty(shape, dtype, order)

    def stream(self, device: int) -> int:
        """Give CuPy's current stream."""
        cupy = sys.modules["cupy"]
        with cupy.cuda.Device(device):
            return int(cupy.cuda.get_current_stream().ptr)


class Numba(_OnItsStream):
    """Numba's own device arrays, which stand in for libraries that are not known here."""

    def __init__(self, stream: int = LEGACY_STREAM) -> None:
        self._stream = stream

    def empty(self, device: int, shape: tuple[int, ...], dtype: np.dtype[Any], order: str) -> Any:
        """Give a new device array."""
        with launch.active(device):
            return launch.new(shape, dtype, order)

    def stream(self, device: int) -> int:
        """Give the stream that the arguments named, or the default one."""
        return self._stream


class Jax:
    """JAX, whose arrays may not be changed: only one that nobody has seen yet is written to."""

    def empty(self, device: int, shape: tuple[int, ...], dtype: np.dtype[Any], order: str) -> Any:
        """Give a new JAX array, ready to be written."""
        jax = sys.modules["jax"]
        place = next(d for d in jax.devices("gpu") if d.local_hardware_id == device)
        array = jax.device_put(jax.numpy.empty(shape, dtype), place).block_until_ready()
        if array.dtype != dtype:
            raise TypeError(f"JAX has no {dtype} unless jax_enable_x64 is set")
        return array

    def stream(self, device: int) -> int:
        """Give the default stream: JAX's own are not to be had."""
        return LEGACY_STREAM

    def finish(self) -> None:
        """Wait for the kernels, which JAX's streams know nothing of."""
        cuda.default_stream().synchronize()


def library_of(value: Any) -> Library:
    """Give the library that an array comes from; Numba for one that is not known."""
    known: dict[str, type[Library]] = {"torch": Torch, "cupy": Cupy, "jax": Jax, "jaxlib": Jax}
    cls = known.get(library(value))
    if cls is not None:
        return cls()
    try:
        stream = value.__cuda_array_interface__.get("stream")
    except Exception:  # whoever reads the array says by name what is wrong with it
        stream = None
    return Numba(stream or LEGACY_STREAM)
