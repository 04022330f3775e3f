"""How kernels are compiled for the GPU: the one place that chooses numba-cuda's options."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import cuda
from numba.cuda.core import config

Function = TypeVar("Function", bound=Callable[..., Any])

# Under NUMBA_ENABLE_CUDASIM=1 a kernel runs in Python, a thread at a time.
SIMULATED = bool(config.ENABLE_CUDASIM)
# Threads to a block. The simulator takes a tenth of a millisecond for each.
THREADS = 8 if SIMULATED else 256
# What a thread loads or stores at once, and the alignment that this takes.
VECTOR_BYTES = 16


def kernel(function: Function) -> Any:
    """Compile a function that the host launches, at its first launch for each signature."""
    return _kept(cuda.jit(function), function)


def crowded_kernel(function: Function) -> Any:
    """Compile as :func:`kernel`, into at most 64 registers: four blocks fit a multiprocessor."""
    if SIMULATED:
        return cuda.jit(function)
    return _kept(cuda.jit(launch_bounds=(THREADS, 4))(function), function)


def _kept(dispatcher: Any, function: Function) -> Any:
    """Keep what is compiled on disk: numba-cuda's own cache knows nothing of functions called."""
    if not SIMULATED:
        from fastloss.cuda.cache import KernelCache

        dispatcher._cache = KernelCache(function)
    return dispatcher


def device(function: Function) -> Function:
    """Compile a function that only kernels call."""
    if SIMULATED and "cuda" not in function.__code__.co_names:
        return function  # around each call, the simulator would look for ``cuda`` in the module
    return cast(Function, cuda.jit(device=True)(function))
