"""How kernels are compiled: the one place that chooses Numba's options.

No fast-math flag is set. Formulas are exact about NaN, infinity and overflow, and LLVM's
``reassoc`` would turn ``r * (r / beta)`` into ``(r * r) / beta``, which overflows; sums are put in
a vectorisable order by hand instead (``sums.py``), so their bits depend on no compiler choice.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.extending import overload

from fastloss.cpu.cache import KernelCache
from fastloss.interrupts import held_back

Function = TypeVar("Function", bound=Callable[..., Any])

# Division by zero follows IEEE instead of raising: the branch would stop vectorisation.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "nogil": True}


# For functions that only kernels call. A call between two stores past the cache would count
# references, see streaming.py; entries from Python and C take a fifth of the time to compile a
# first kernel.
INLINE: dict[str, Any] = {
    **OPTIONS,
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def inner(function: Function) -> Function:
    """Compile a function that only kernels call."""
    return cast(Function, numba.njit(**INLINE)(function))


def choose(function: Function, chosen: Callable[[dict[str, Any]], Any]) -> None:
    """Have compiled code call another function instead, chosen by the types of the arguments.

    Unlike a branch, which is compiled whole, and a call of one from the other, which is optimised
    twice, this costs no time to compile.
    """
    signature = inspect.signature(function)

    def resolve(*types: Any) -> Any:
        given = signature.bind(*types)
        given.apply_defaults()
        return chosen(given.arguments)

    # Numba compares both signatures.
    resolve.__signature__ = signature  # type: ignore[attr-defined]
    overload(function, jit_options=INLINE)(resolve)


def kernel(function: Function) -> Function:
    """Compile a function that Python calls, on the caller's thread."""
    return _cached(numba.njit(**OPTIONS)(function), function, "serial")


def short_kernel(function: Function) -> Function:
    """Compile a function whose calls are too short to let other threads run meanwhile."""
    return _cached(numba.njit(**{**OPTIONS, "nogil": False})(function), function, "short")


def parallel_kernel(function: Function) -> Function:
    """Compile the same function with its ``prange`` loops over all threads."""
    return _cached(numba.njit(parallel=True, **OPTIONS)(function), function, "parallel")


def _whole(compile_one: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Compile without being interrupted."""

    def compile_whole(signature: Any) -> Any:
        with held_back():
            return compile_one(signature)

    return compile_whole


def _cached(dispatcher: Any, function: Function, kind: str) -> Function:
    # Numba's own cache=True knows nothing of the functions a kernel calls: see cache.py.
    if hasattr(dispatcher, "enable_caching"):  # a plain function under NUMBA_DISABLE_JIT
        dispatcher._cache = KernelCache(function, kind)
        dispatcher.compile = _whole(dispatcher.compile)
    return cast(Function, dispatcher)
