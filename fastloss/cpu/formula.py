"""The methods of a formula, compiled for the CPU."""

from functools import cache
from typing import Any

from numba.core.types.containers import BaseNamedTuple
from numba.extending import overload

from fastloss.binding import grad, hess, scaled_grad, value
from fastloss.cpu.jit import INLINE, inner
from fastloss.formulas import quotient

__all__ = ["grad", "hess", "scaled_grad", "value"]


@cache
def _method(formula: type, name: str) -> Any:
    method = getattr(formula, name)
    return inner(getattr(method, "py_func", method))


def _resolve(function: Any) -> None:
    name = function.__name__

    # Numba compares both signatures as text: annotations here would be a difference.
    def resolve(formula, r):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if not isinstance(formula, BaseNamedTuple):
            return None
        method = _method(formula.instance_class, name)
        return lambda formula, r: method(formula, r)

    overload(function, jit_options=INLINE)(resolve)


for _function in (value, grad, hess):
    _resolve(_function)


# One body for both would be compiled whole, the absent method too.
@overload(scaled_grad, jit_options=INLINE)
def _scaled_grad(formula, r, scale):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if not isinstance(formula, BaseNamedTuple):
        return None
    if callable(getattr(formula.instance_class, "scaled_grad", None)):
        method = _method(formula.instance_class, "scaled_grad")
        return lambda formula, r, scale: method(formula, r, scale)
    return lambda formula, r, scale: scale * grad(formula, r)


@overload(quotient, jit_options=INLINE)
def _quotient(a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    return lambda a, b: a / b
