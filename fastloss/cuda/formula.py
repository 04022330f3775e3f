"""The methods of a formula, compiled for the GPU.

The simulator calls the functions themselves, in Python.
"""

from functools import cache
from typing import Any

from numba.core import types
from numba.core.types.containers import BaseNamedTuple

from fastloss.binding import grad, hess, scaled_grad, value
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

    @overload(quotient)
    def _quotient(a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        """Divide without the subroutine that IEEE division calls for extreme exponents.

        Both are moved to where the reciprocal is a normal number; one step of Newton's method on
        the quotient makes it exact but for the last rounding. Where that step is not a number
        (infinities), the quotient before it is right.
        """
        if b == types.float32:
            steps, high, low, up, down = 1, 2.0**100, 2.0**-100, 2.0**64, 2.0**-64
        else:
            steps, high, low, up, down = 2, 2.0**900, 2.0**-900, 2.0**512, 2.0**-512

        def divide(a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            T = type(b)
            move = T(1)
            move = T(down) if abs(b) > T(high) else move
            move = T(up) if abs(b) < T(low) else move
            a, b = a * move, b * move
            inverse = reciprocal(b)
            for _ in range(steps):
                inverse = multiply_add(multiply_add(-inverse, b, T(1)), inverse, inverse)
            first = a * inverse
            better = multiply_add(multiply_add(-first, b, a), inverse, first)
            return better if better == better else first

        return divide
