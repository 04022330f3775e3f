"""The methods of a formula, compiled for the CPU."""

from functools import cache
from typing import Any

import numpy as np
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload

from fastloss import binding
from fastloss.binding import grad, hess, scaled_grad, value
from fastloss.cpu.jit import INLINE, inner
from fastloss.cpu.quick import quick, ratio
from fastloss.formulas import quotient

__all__ = ["bind", "grad", "hess", "scaled_grad", "value"]


def bind(formula: Any, dtype: np.dtype[Any]) -> Any:
    """Give the formula as a kernel's argument, in the form that suits the CPU."""
    return quick(binding.bind(formula, dtype), dtype)


@cache
def _method(formula: type, name: str) -> Any:
    method = getattr(formula, name)
    return inner(getattr(method, "py_func", method))


def _resolve(function: Any) -> None:
    name = function.__name__

    # Numba compares both signatures as text: annotations here would be a difference.
    def resolve(formula, r):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        method = _method(formula.instance_class, name)
        return lambda formula, r: method(formula, r)

    overload(function, jit_options=INLINE)(resolve)


for _function in (value, grad, hess):
    _resolve(_function)


# One body for both would be compiled whole, the absent method too.
@overload(scaled_grad, jit_options=INLINE)
def _scaled_grad(formula, r, scale):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if callable(getattr(formula.instance_class, "scaled_grad", None)):
        method = _method(formula.instance_class, "scaled_grad")
        return lambda formula, r, scale: method(formula, r, scale)
    return lambda formula, r, scale: scale * grad(formula, r)


@overload(quotient, jit_options=INLINE)
def _quotient(a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    return lambda a, b: a / b


@overload(ratio, jit_options=INLINE)
def _ratio(a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if not _fuses():
        return lambda a, b: a / b

    def multiplied(a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        # LLVM computes both once for all elements; their sum is 1 / b to twice the digits.
        T = type(b)
        inverse = T(1) / b
        rest = _multiply_add(-inverse, b, T(1)) * inverse
        return _multiply_add(a, inverse, a * rest)

    return multiplied


@intrinsic
def _multiply_add(typingctx, a, b, c):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Give ``a * b + c``, rounded once."""
    return a(a, a, a), lambda context, builder, signature, arguments: builder.fma(*arguments)


@cache
def _fuses() -> bool:
    """Whether the processor has that in one instruction: the subroutine is slower than dividing."""
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return "+fma" in features.split(",") or triple.startswith(("aarch64", "arm64"))
