"""Compiled code as it is called without Numba's look at the arguments' types.

Numba finds a kernel by the types of all arguments: 0.7 microseconds with a formula among them,
where calling the machine code of known types takes 0.15.
"""

from typing import Any

import numba
import numpy as np

from fastloss.cpu import elementwise, evaluate
from fastloss.cpu.formula import bind
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

    def __init__(self, formula: Formula, dtype: np.dtype[Any]) -> None:
        self.formula = bind(formula, dtype)
        self._dtype = dtype

    def __getattr__(self, kind: str) -> Any:
        """Compile a kernel and keep it under its kind."""
        if kind not in KINDS:
            raise AttributeError(kind)
        *outs, summed = KINDS[kind]
        vector = np.empty(1, self._dtype)
        arguments = (
            self.formula,
            vector,
            vector,
            None,
            self._dtype.type(1),
            *(vector if out else None for out in outs),
            True if summed else None,
            None,
            None,
        )
        found: Any = elementwise.single_summed if summed else elementwise.single_filled
        if hasattr(found, "compile"):  # a plain function under NUMBA_DISABLE_JIT
            signature = tuple(map(numba.typeof, arguments))
            found.compile(signature)
            found = found.overloads[signature].entry_point
        setattr(self, kind, found)
        return found

    def large(
        self,
        input: Array,
        target: Array,
        scale: float,
        value: Array | None,
        grad: Array | None,
        total: bool,
    ) -> tuple[float, bool]:
        """Take more than a block; False, with nothing written, where arrays are not in order.

        Or where an output is an input too, which takes a buffer.
        """
        outs = [out for out in (value, grad) if out is not None]
        for array in (input, target, *outs):
            # Numba compiles anew for read-only arrays: the long way hides that they are.
            if array.size != input.size or not array.flags.carray:
                return 0.0, False
        for out in outs:
            if np.may_share_memory(out, input) or np.may_share_memory(out, target):
                return 0.0, False
        vectors = input, target, None, value, grad, None
        return evaluate.large(vectors, self.formula, self._dtype.type(scale), total), True
