"""The kernels that calls of a kind need, by the arguments that they are compiled for."""

from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np

from fastloss.binding import Itself
from fastloss.cpu import elementwise, sums
from fastloss.cpu.finished import marks
from fastloss.cpu.formula import bind
from fastloss.cpu.ready import KINDS
from fastloss.parallelism import get_num_threads

Compilation = tuple[str, Callable[[], object]]


def compilations(
    formula: Any, dtype: np.dtype[Any], kind: str, weights: bool, large: bool
) -> Iterator[Compilation]:
    """Give the kernels' names and what compiles them."""
    *written, summed = KINDS[kind]
    bound, vector = bind(formula, dtype), np.empty(1, dtype)
    outs = tuple(vector if out else None for out in written)
    for weight in (None, vector)[: 1 + weights]:
        name = kind if weight is None else f"{kind}, weights"
        inputs = bound, vector, vector, weight, dtype.type(1), *outs
        single = elementwise.single_summed if summed else elementwise.single_filled
        yield name, _compiler(single, *inputs, True if summed else None, None, None)
        if not large:
            continue
        pairs = np.empty((1, 2)) if summed else None
        several, done = _several(bound)
        yield f"{name}, large", _compiler(several, *inputs, pairs, None, None, done)
        if summed:
            yield "sums of blocks", _compiler(sums.total, pairs)
        if kind == "total" and weight is not None:
            yield "mean, weights, large", _compiler(several, *inputs, pairs, pairs, None, done)
        if any(written):
            yield f"{name}, past the cache", _compiler(several, *inputs, pairs, None, True, done)
    if weights and kind != "values":
        yield from _sum_of_weights(dtype, large)


def _sum_of_weights(dtype: np.dtype[Any], large: bool) -> Iterator[Compilation]:
    """Give what a mean is divided by."""
    bound, vector = bind(Itself(), dtype), np.empty(1, dtype)
    inputs = bound, vector, None, None, dtype.type(1), None, None, None
    yield "sum of weights", _compiler(elementwise.single_summed, *inputs, True, None, None)
    if large:
        several, done = _several(bound)
        yield (
            "sum of weights, large",
            _compiler(several, *inputs, np.empty((1, 2)), None, None, done),
        )


def _several(bound: Any) -> tuple[Any, Any]:
    """Give the kernel for many elements, and what it says of its blocks."""
    if get_num_threads() > 1:
        return elementwise.parallel, marks(bound, 1)
    return elementwise.serial, None


def _compiler(kernel: Any, *arguments: Any) -> Callable[[], object]:
    def run() -> object:
        if not hasattr(kernel, "compile"):  # a plain function under NUMBA_DISABLE_JIT
            return None
        return kernel.compile(tuple(map(numba.typeof, arguments)))

    return run
