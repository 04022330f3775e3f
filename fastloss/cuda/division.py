"""Division without the subroutine that IEEE division calls for extreme exponents."""

from typing import Any, NamedTuple


class Steps(NamedTuple):
    """How a precision is divided in."""

    newton: int
    """Steps of Newton's method from the GPU's reciprocal to one that is right but for rounding."""
    high: float
    low: float
    """A divisor beyond these is moved to where its reciprocal is a normal number..."""
    up: float
    down: float
    """...by these factors."""


# The reciprocal is right to an ulp in float32, to 20 bits in float64.
FLOAT32 = Steps(1, 2.0**100, 2.0**-100, 2.0**64, 2.0**-64)
FLOAT64 = Steps(2, 2.0**900, 2.0**-900, 2.0**512, 2.0**-512)


def division(precision: Steps, reciprocal: Any, multiply_add: Any) -> Any:
    """Make ``divide(a, b)`` from a GPU's operations, for ``b`` that is not 0.

    One step of Newton's method on the quotient itself makes it exact but for the last rounding.
    Where a step is not a number (infinities), what it started from is right.
    """
    newton, high, low, up, down = precision

    def divide(a: Any, b: Any) -> Any:
        T = type(b)
        move = T(1)
        move = T(down) if abs(b) > T(high) else move
        move = T(up) if abs(b) < T(low) else move
        a, b = a * move, b * move
        inverse = reciprocal(b)
        for _ in range(newton):
            better = multiply_add(multiply_add(-inverse, b, T(1)), inverse, inverse)
            inverse = better if better == better else inverse
        first = a * inverse
        last = multiply_add(multiply_add(-first, b, a), inverse, first)
        return last if last == last else first

    return divide
