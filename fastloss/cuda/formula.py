"""The methods of a formula, compiled for the GPU.

The simulator calls the functions themselves, in Python.
"""

from functools import cache
from typing import Any

from numba.core import types
from numba.core.types.containers import BaseNamedTuple

from fastloss.binding import grad, hess, scaled_grad, value
from fastloss.cuda.division import FLOAT32, FLOAT64, division
from fastloss.cuda.jit import SIMULATED, device
from fastloss.formulas import quotient

__all__ = ["grad", "hess", "scaled_grad", "value"]


@cache
def _method(formula: type, name: str) -> Any:
    method = getattr(formula, name)
    return device(getattr(method, "py_func", method))


if not SIMULATED:
    from numba.cuda.extending import overload

    from fastloss.cuda.lanes import multiply_add, reciprocal

    def _resolve(function: Any) -> None:
        name = function.__name__

        def resolve(formula, r):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            if not isinstance(formula, BaseNamedTuple):
                return None
            method = _method(formula.instance_class, name)
            return lambda formula, r: method(formula, r)

        overload(function)(resolve)

    for _function in (value, grad, hess):
        _resolve(_function)

    @overload(scaled_grad)
    def _scaled_grad(formula, r, scale):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if not isinstance(formula, BaseNamedTuple):
            return None
        if callable(getattr(formula.instance_class, "scaled_grad", None)):
            method = _method(formula.instance_class, "scaled_grad")
            return lambda formula, r, scale: method(formula, r, scale)
        return lambda formula, r, scale: scale * grad(formula, r)

    _divide32 = device(division(FLOAT32, reciprocal, multiply_add))
    _divide64 = device(division(FLOAT64, reciprocal, multiply_add))

    @overload(quotient)
    def _quotient(a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        divide = _divide32 if b == types.float32 else _divide64
        return lambda a, b: divide(a, b)
