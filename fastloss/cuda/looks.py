"""One look at an ordinary array: a few attributes of its own in place of the whole interface.

An array is ordinary if it is contiguous, of float16, float32 or float64, and of exactly the class
that PyTorch or CuPy make. Anything else gives None, and errors are for others to find words for.
"""

import sys
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

from fastloss.cuda.libraries import Cupy, Torch

NAMES = ("float16", "float32", "float64")


# An ordinary array's address, shape, dtype and device; a plain tuple is made in half the time.
Look: TypeAlias = tuple[int, tuple[int, ...], np.dtype[Any], int]


class Looks(Protocol):
    """A library whose ordinary arrays are known."""

    def look(self, array: Any) -> Look | None:
        """Say where an array of the library's own class lies; None if it is not ordinary."""

    def address(self, array: Any) -> int:
        """Give the address of an array."""

    def stream(self, device: int) -> int:
        """Give the current stream on the current device."""

    def like(self, array: Any) -> Any:
        """Give a new array like an ordinary one."""

    def scratch(self, count: int, array: Any) -> Any:
        """Give a new array of float64 on the device of another, which is the current one."""


class TorchLooks(Torch):
    """PyTorch."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self._dtypes = {getattr(torch, name): np.dtype(name) for name in NAMES}

    def look(self, array: Any) -> Look | None:
        """Say where a tensor lies."""
        dtype = self._dtypes.get(array.dtype)
        if dtype is None or not array.is_cuda or not array.is_contiguous() or array.requires_grad:
            return None
        return array.data_ptr(), array.shape, dtype, array.get_device()

    def address(self, array: Any) -> int:
        """Give the address of a tensor."""
        address: int = array.data_ptr()
        return address

    def like(self, array: Any) -> Any:
        """Give a new tensor like a contiguous one."""
        return self.torch.empty_like(array)

    def scratch(self, count: int, array: Any) -> Any:
        """Give a new tensor of float64 beside another."""
        return self.torch.empty(count, dtype=self.torch.float64, device=array.device)


class CupyLooks(Cupy):
    """CuPy."""

    _dtypes: ClassVar = {dtype: dtype for dtype in map(np.dtype, NAMES)}

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy

    def look(self, array: Any) -> Look | None:
        """Say where an array lies."""
        dtype = self._dtypes.get(array.dtype)
        if dtype is None or not array.flags.c_contiguous:
            return None
        data = array.data
        return data.ptr, array.shape, dtype, data.device_id

    def address(self, array: Any) -> int:
        """Give the address of an array."""
        address: int = array.data.ptr
        return address

    def stream(self, device: int) -> int:
        """Give the current stream on the current device."""
        return int(self.cupy.cuda.get_current_stream().ptr)

    def like(self, array: Any) -> Any:
        """Give a new array like a contiguous one."""
        return self.cupy.empty(array.shape, array.dtype)

    def scratch(self, count: int, array: Any) -> Any:
        """Give a new array of float64 on the current device."""
        return self.cupy.empty(count, np.float64)


_KNOWN: dict[str, tuple[str, Callable[[Any], Looks]]] = {
    "torch": ("Tensor", TorchLooks),
    "cupy": ("ndarray", CupyLooks),
}
# The library is kept beside what was made for it: who replaces a module is asked anew.
_made: dict[str, tuple[Any, Looks]] = {}


def looks_of(cls: type) -> Looks | None:
    """Give the library that a class is the arrays' of, None if it is no such class."""
    name = cls.__module__.partition(".")[0]
    if name not in _KNOWN:
        return None
    module = sys.modules.get(name)
    array, make = _KNOWN[name]
    if getattr(module, array, None) is not cls:
        return None
    known = _made.get(name)
    if known is None or known[0] is not module:
        known = _made[name] = module, make(module)
    return known[1]
