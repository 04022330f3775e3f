"""Compiled code as it is called without Numba's look at the arguments' types.

Numba finds a kernel by the types of all arguments: 0.7 microseconds with a formula among them,
where calling the machine code of known types takes 0.15.
"""

from functools import cached_property
from typing import Any

import numba
import numpy as np

from fastloss.arrays import smallest_divisor
from fastloss.binding import Itself
from fastloss.cpu import elementwise, evaluate, sums
from fastloss.cpu.formula import bind
from fastloss.cpu.memory import beyond_cache
from fastloss.cpu.sizes import BLOCK, PARALLEL_FROM
from fastloss.cpu.threads import several
from fastloss.formulas import Formula
from fastloss.typing import Array

# The outputs of each kind: losses, gradient, curvature, and whether losses are summed.
KINDS = {
    "total": (False, False, False, True),
    "values": (True, False, False, False),
    "gradient": (False, True, False, False),
    "both": (False, True, False, True),
    "curvature": (False, True, True, False),
}


class Ready:
    """The kernels of a formula and dtype, each compiled when it is first asked for."""

    total: Any
    values: Any
    gradient: Any
    both: Any
    curvature: Any

    _weighs = False

    def __init__(self, formula: Formula, dtype: np.dtype[Any]) -> None:
        self.formula = bind(formula, dtype)
        self._unbound, self._dtype = formula, dtype
        self._of_blocks: dict[tuple[str, bool], Any] = {}

    @cached_property
    def weighted(self) -> "Weighted":
        """Those that take weights."""
        return Weighted(self._unbound, self._dtype)

    def __getattr__(self, kind: str) -> Any:
        """Compile a kernel for at most one block and keep it under its kind."""
        if kind not in KINDS:
            raise AttributeError(kind)
        summed = KINDS[kind][-1]
        kernel: Any = elementwise.single_summed if summed else elementwise.single_filled
        found = self._compiled(kernel, kind, True)
        setattr(self, kind, found)
        return found

    def large(
        self,
        kind: str,
        input: Array,
        target: Array,
        scale: float,
        value: Array | None = None,
        grad: Array | None = None,
        hess: Array | None = None,
    ) -> tuple[float, bool]:
        """Take more than a block; False, with nothing written, where arrays are not in order.

        Or where an output is an input too, which takes a buffer.
        """
        size, outs = input.size, [out for out in (value, grad, hess) if out is not None]
        others = [input, target]
        for array in (*others, *outs):
            # Numba compiles anew for read-only arrays: the long way hides that they are.
            if array.size != size or not array.flags.carray:
                return 0.0, False
        for out in outs:
            if any(np.may_share_memory(out, other) for other in others):
                return 0.0, False
            others.append(out)
        summed = KINDS[kind][-1]
        if size > evaluate.CALL or beyond_cache(outs):
            vectors = input, target, None, value, grad, hess
            return evaluate.large(vectors, self.formula, self._dtype.type(scale), summed), True
        # What ``large`` does for these, without looking for what is not there: of a sum of 60,000
        # float32, 21 microseconds, that leaves 15.
        pairs = np.empty((-(-size // BLOCK), 2)) if summed else None
        with several(size, PARALLEL_FROM[kind]) as threads:
            kernel = self._of_blocks.get((kind, threads)) or self._kernel(kind, threads)
            arguments = self.formula, input, target, None, scale, value, grad, hess, pairs
            kernel(*arguments, None, None, None)
        return (0.0 if pairs is None else sums.total(pairs)), True

    def _kernel(self, kind: str, threads: bool) -> Any:
        kernel: Any = elementwise.parallel if threads else elementwise.serial
        found = self._compiled(kernel, kind, np.empty((1, 2)), None)
        self._of_blocks[kind, threads] = found
        return found

    def _compiled(self, kernel: Any, kind: str, into: Any, *rest: Any) -> Any:
        *outs, summed = KINDS[kind]
        vector, one = np.empty(1, self._dtype), self._dtype.type(1)
        weight = vector if self._weighs else None
        written = (vector if out else None for out in outs)
        arguments = self.formula, vector, vector, weight, one, *written
        return _compiled(kernel, *arguments, into if summed else None, None, None, *rest)


class Weighted(Ready):
    """Kernels that take weights, of at most a block."""

    _weighs = True

    def divisor(self, weight: Array) -> float | None:
        """Give the sum of weights; None where a mean has no such divisor.

        Of weights that are not in order the kernel gives 0.
        """
        exact, error, _ = self._sum_of_weights(
            self._itself, weight, None, None, 1.0, None, None, None, True, None, None
        )
        exact += error
        least = smallest_divisor(self._dtype)
        return exact if least <= abs(exact) <= 1 / least else None

    @cached_property
    def _itself(self) -> Any:
        return bind(Itself(), self._dtype)

    @cached_property
    def _sum_of_weights(self) -> Any:
        vector, one = np.empty(1, self._dtype), self._dtype.type(1)
        inputs = self._itself, vector, None, None, one
        return _compiled(elementwise.single_summed, *inputs, None, None, None, True, None, None)


def _compiled(kernel: Any, *arguments: Any) -> Any:
    """Compile a kernel for arguments like these and give its machine code."""
    if not hasattr(kernel, "compile"):  # a plain function under NUMBA_DISABLE_JIT
        return kernel
    signature = tuple(map(numba.typeof, arguments))
    kernel.compile(signature)
    return kernel.overloads[signature].entry_point
