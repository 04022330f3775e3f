"""Kernels that were launched before, launched again by the driver itself.

numba-cuda looks at every argument of every launch: 150 us for a loss of three arrays where these
are typed, made into arrays of its own and taken apart again. What it finds out depends on the
arguments' types alone, so here it is asked once for each combination of them. After that the
arguments are written into a block of parameters and the driver is called, in 3 us.
"""

import ctypes
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from cuda.bindings import driver
from numba import cuda
from numba.core import types
from numba.cuda.core import config

from fastloss.cuda.jit import THREADS


class Vector:
    """A run of elements in a GPU's memory, as a kernel's argument."""

    __slots__ = ("dtype", "parameters")

    def __init__(self, address: int, count: int, dtype: np.dtype[Any]) -> None:
        size = dtype.itemsize
        self.dtype = dtype
        # The fields of numba-cuda's arrays: two pointers for arrays that own memory, the number of
        # elements and their size, the address, the shape and the strides.
        self.parameters = 0, 0, count, size, address, count, size


ARRAY = "PPqqPqq"
NUMBERS = {int: "q", float: "d", np.float32: "f", np.float64: "d"}


class Block(NamedTuple):
    """Memory for the parameters of a launch."""

    memory: Any
    pointers: Any
    """Where in it each parameter lies."""
    address: int
    """Where the pointers lie."""


class Prepared:
    """A kernel on one GPU for arguments of certain types."""

    def __init__(self, function: Any, layout: str) -> None:
        self._function = function
        self._pack_into = struct.Struct(layout).pack_into
        self._size = struct.calcsize(layout)
        ends = (struct.calcsize(layout[: k + 1]) for k in range(len(layout)))
        sizes = map(struct.calcsize, layout)
        self._offsets = [end - size for end, size in zip(ends, sizes, strict=True)]
        # Popped and put back, each a single step to other threads: nobody else writes to it.
        self._spare: list[Block] = []

    def launch(self, blocks: int, stream: int, values: list[Any]) -> None:
        """Launch it; the driver has copied the parameters when it returns."""
        block = self._spare.pop() if self._spare else self._new_block()
        self._pack_into(block.memory, 0, *values)
        result = driver.cuLaunchKernel(
            self._function, blocks, 1, 1, THREADS, 1, 1, 0, stream, block.address, 0
        )
        self._spare.append(block)
        checked(result)

    def _new_block(self) -> Block:
        memory = ctypes.create_string_buffer(max(self._size, 1))
        base = ctypes.addressof(memory)
        pointers = (ctypes.c_void_p * len(self._offsets))(*(base + k for k in self._offsets))
        return Block(memory, pointers, ctypes.addressof(pointers))


# By the kernel, the context and the kinds of arguments; None where numba-cuda has to launch.
_prepared: dict[tuple[Any, ...], Prepared | None] = {}


def launch(kernel: Any, blocks: int, stream: int, arguments: tuple[Any, ...]) -> None:
    """Launch a kernel on the current device."""
    key: list[Any] = [kernel, context()]
    values: list[Any] = []
    _flatten(arguments, key, values)
    known = tuple(key)
    try:
        prepared = _prepared[known]
    except KeyError:
        prepared = _prepared[known] = _prepare(kernel, key[2:], values, arguments)
    if prepared is None:
        by_numba(kernel, blocks, stream, arguments)
        return
    try:
        prepared.launch(blocks, stream, values)
    except struct.error:  # a formula's integer of more than 63 bits
        by_numba(kernel, blocks, stream, arguments)


def _flatten(arguments: Iterable[Any], kinds: list[Any], values: list[Any]) -> None:
    """Append what the arguments' types follow from, and the parameters."""
    for argument in arguments:
        kind = type(argument)
        if kind is Vector:
            kinds.append(argument.dtype)
            values += argument.parameters
        elif kind is tuple:
            kinds.append(len(argument))
            if argument:
                _flatten(argument, kinds, values)
        else:
            kinds.append(kind)
            if isinstance(argument, tuple):  # a formula: its class tells how many follow
                kinds += map(type, argument)
                values += argument
            else:
                values.append(argument)


def _prepare(
    kernel: Any, kinds: list[Any], values: list[Any], arguments: tuple[Any, ...]
) -> Prepared | None:
    """Compile a kernel, load it, and find out how its parameters lie."""
    layout = "".join(map(_layout, kinds))
    if "?" in layout:
        return None
    try:
        struct.pack(layout, *values)
    except struct.error:
        return None
    kernel_types = tuple(_type(kernel, argument) for argument in arguments)
    compiled = kernel.compile(kernel_types)
    try:
        function = compiled.library.get_cufunc().handle
    except AttributeError:  # of another numba-cuda
        return None
    return Prepared(driver.CUfunction(int(function)), layout)


def _layout(kind: Any) -> str:
    """Give the parameters' formats in the words of ``struct``, "?" where there is none."""
    if isinstance(kind, np.dtype):
        return ARRAY
    if isinstance(kind, int) or issubclass(kind, tuple):
        return ""
    return NUMBERS.get(kind, "?")


def _type(kernel: Any, argument: Any) -> Any:
    if type(argument) is Vector:
        return kernel.typeof_pyval(np.empty(1, argument.dtype))
    return types.int64 if type(argument) is int else kernel.typeof_pyval(argument)


def by_numba(kernel: Any, blocks: int, stream: int, arguments: tuple[Any, ...]) -> None:
    """Launch a kernel as numba-cuda does."""
    where = cuda.external_stream(stream) if stream else 0
    warns = config.CUDA_LOW_OCCUPANCY_WARNINGS
    config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # a small array, or a last sum, has few blocks
    try:
        configured = kernel[blocks, THREADS, where]
    finally:
        config.CUDA_LOW_OCCUPANCY_WARNINGS = warns
    configured(*(_array(a) if type(a) is Vector else a for a in arguments))


def _array(vector: Vector) -> Any:
    _, _, count, _, address, _, _ = vector.parameters
    interface = {
        "shape": (count,),
        "strides": None,
        "typestr": vector.dtype.str,
        "data": (address, False),
        "version": 3,
    }
    return cuda.from_cuda_array_interface(interface, sync=False)


def context() -> int:
    """Give the current context's address, 0 if there is none."""
    return int(checked(driver.cuCtxGetCurrent()))


def send(address: int, array: Any, stream: int) -> None:
    """Copy a NumPy array to the device; the driver has read it when this returns."""
    checked(driver.cuMemcpyHtoDAsync(address, array.ctypes.data, array.nbytes, stream))


def fetch(address: int, memory: Any, stream: int) -> None:
    """Copy from the device into a NumPy array, when the work before it is done."""
    checked(driver.cuMemcpyDtoHAsync(memory.ctypes.data, address, memory.nbytes, stream))
    checked(driver.cuStreamSynchronize(stream))


def checked(result: tuple[Any, ...]) -> Any:
    """Give what a function of the driver gives; RuntimeError in its words if it failed."""
    if result[0]:
        _, name = driver.cuGetErrorName(result[0])
        _, words = driver.cuGetErrorString(result[0])
        raise RuntimeError(f"{name.decode()}: {words.decode()}")
    return result[1] if len(result) > 1 else None
