"""How kernels are compiled: the one place that chooses Numba's options.

No fast-math flag is set. Formulas are exact about NaN, infinity and overflow, and LLVM's
``reassoc`` would turn ``r * (r / beta)`` into ``(r * r) / beta``, which overflows; sums are put in
a vectorisable order by hand instead (``sums.py``), so their bits depend on no compiler choice.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from fastloss.cpu.cache import KernelCache

Function = TypeVar("Function", bound=Callable[..., Any])

# Division by zero follows IEEE instead of raising: the branch would stop vectorisation.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "nogil": True}


def inner(function: Function) -> Function:
    """Compile a function that only kernels call.

    It has no entry from Python, which takes a fifth off the time to compile a first kernel.
    """
    options = {**OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(Function, numba.njit(**options)(function))


def kernel(function: Function) -> Function:
    """Compile a function that Python calls, on the caller's thread."""
    return _cached(numba.njit(**OPTIONS)(function), function, "serial")


def parallel_kernel(function: Function) -> Function:
    """Compile the same function with its ``prange`` loops over all threads."""
    return _cached(numba.njit(parallel=True, **OPTIONS)(function), function, "parallel")


def _cached(dispatcher: Any, function: Function, kind: str) -> Function:
    # Numba's own cache=True knows nothing of the functions a kernel calls: see cache.py.
    if hasattr(dispatcher, "enable_caching"):  # a plain function under NUMBA_DISABLE_JIT
        dispatcher._cache = KernelCache(function, kind)
    return cast(Function, dispatcher)
