"""Every loss as a function of one residual: the only place where its mathematics stands.

A formula is a ``NamedTuple`` of the loss's parameters with three methods of the residual
``r = input - target``: ``value`` (rho(r)), ``grad`` (rho'(r)) and ``hess`` (rho''(r)). Each
method is plain Python on one number; the back ends compile the very same method for their
kernels, in the precision of the data. ``T = type(r)`` keeps constants in that precision: a bare
``0.5`` would turn float32 arithmetic into float64.

What every formula decides, so that no back end has to:

- a residual that is NaN gives NaN from all three methods (no ``min`` or ``max``, whose NaN rules
  differ between Python, CPUs and GPUs);
- an infinite residual gives an infinite value and the gradient's limit;
- nothing overflows or underflows on the way to a representable result.

Both sides of a threshold are computed, then one is chosen. A branch around each side would have to
become stores under a mask where value and gradient are computed together, which SSE and NEON lack.

``check`` says whether the parameters are in their domain; ``Loss`` calls it once, when made.
"""

import math
from numbers import Real
from typing import NamedTuple, Protocol

import numpy as np

inf = math.inf


class Formula(Protocol):
    """What a loss needs: a ``NamedTuple`` of numbers with these three methods.

    A class of your own with this shape goes wherever a built-in one does, through
    :class:`fastloss.Loss`. Two more are optional: ``check(self)`` raises ``ValueError``, and
    ``scaled_grad(self, r, scale)`` gives ``scale * grad(r)`` where ``grad(r)`` alone overflows.
    What these raise ends a call on the CPU; a GPU does not tell of it.
    """

    def value(self, r: float, /) -> float:
        """rho(r)."""

    def grad(self, r: float, /) -> float:
        """rho'(r), the derivative with respect to the input."""

    def hess(self, r: float, /) -> float:
        """rho''(r), the second derivative with respect to the input."""


def quotient(a: float, b: float) -> float:
    """Give ``a / b``, for ``b > 0``: a GPU divides by a slow subroutine unless told how."""
    return a / b


class SmoothL1(NamedTuple):
    """Smooth L1: ``r**2 / (2 beta)`` where ``|r| < beta``, ``|r| - beta / 2`` elsewhere.

    ``beta = 0`` is the L1 loss. The second derivative is 0 at the kinks ``|r| = beta``.

    Source: Girshick, "Fast R-CNN", 2015, equation 3; ``beta`` as in ``torch.nn.SmoothL1Loss``.

    Examples
    --------
    >>> SmoothL1(beta=2.0).value(1.0), SmoothL1(beta=2.0).grad(-5.0)
    (0.25, -1.0)
    """

    beta: float = 1.0

    def check(self) -> None:
        """Raise ValueError unless ``beta >= 0``."""
        number("beta", self.beta)
        if not self.beta >= 0:
            raise ValueError(f"beta must be >= 0, got {self.beta!r}")

    def value(self, r: float) -> float:
        """rho(r)."""
        T = type(r)
        a = abs(r)
        # r * r would overflow at r = 1e20 in float32 where beta = 1e30 keeps the result small.
        inside = T(0.5) * r * quotient(r, self.beta if a < self.beta else T(1))
        outside = a - T(0.5) * self.beta
        outside = a if a == T(inf) else outside  # where beta is infinite too, inf - inf is NaN
        return inside if a < self.beta else outside

    def grad(self, r: float) -> float:
        """rho'(r)."""
        T = type(r)
        a = abs(r)
        inside = quotient(r, self.beta if a < self.beta else T(1))
        outside = T(math.copysign(T(1), r)) if a > T(0) else r  # r is 0 or NaN
        return inside if a < self.beta else outside

    def hess(self, r: float) -> float:
        """rho''(r)."""
        T = type(r)
        a = abs(r)
        inside = quotient(T(1), self.beta if a < self.beta else T(1))
        outside = T(0) if r == r else r
        return inside if a < self.beta else outside


class Huber(NamedTuple):
    """Huber: ``r**2 / 2`` where ``|r| <= delta``, ``delta (|r| - delta / 2)`` elsewhere.

    ``delta = inf`` is half the squared error. The second derivative is 0 at ``|r| = delta``.

    Source: Huber, "Robust Estimation of a Location Parameter", 1964.

    Examples
    --------
    >>> Huber(delta=2.0).value(1.0), Huber(delta=2.0).grad(-5.0)
    (0.5, -2.0)
    """

    delta: float = 1.0

    def check(self) -> None:
        """Raise ValueError unless ``delta > 0``."""
        number("delta", self.delta)
        if not self.delta > 0:
            raise ValueError(f"delta must be > 0, got {self.delta!r}")

    def value(self, r: float) -> float:
        """rho(r)."""
        T = type(r)
        a = abs(r)
        inside = (T(0.5) * r) * r  # r * r first could overflow where the half does not
        outside = self.delta * (a - T(0.5) * self.delta)
        outside = a if a == T(inf) else outside  # a delta that is 0 in float32 makes 0 * inf
        return inside if a <= self.delta else outside

    def grad(self, r: float) -> float:
        """rho'(r)."""
        T = type(r)
        a = abs(r)
        outside = self.delta if r > T(0) else -self.delta
        outside = outside if r == r else r
        return r if a <= self.delta else outside

    def hess(self, r: float) -> float:
        """rho''(r)."""
        T = type(r)
        outside = T(0) if r == r else r
        return T(1) if abs(r) < self.delta else outside


class L1(NamedTuple):
    """Absolute error ``|r|``; its gradient at 0 is 0, its second derivative 0 everywhere.

    Examples
    --------
    >>> L1().value(-3.0), L1().grad(-3.0), L1().grad(0.0)
    (3.0, -1.0, 0.0)
    """

    def value(self, r: float) -> float:
        """rho(r)."""
        return abs(r)

    def grad(self, r: float) -> float:
        """rho'(r)."""
        T = type(r)
        return T(math.copysign(T(1), r)) if abs(r) > T(0) else r  # r is 0 or NaN

    def hess(self, r: float) -> float:
        """rho''(r)."""
        T = type(r)
        return T(0) if r == r else r


class SquaredError(NamedTuple):
    """Squared error ``r**2``, without a half, as ``torch.nn.MSELoss`` has it.

    Examples
    --------
    >>> SquaredError().value(-3.0), SquaredError().grad(-3.0)
    (9.0, -6.0)
    """

    def value(self, r: float) -> float:
        """rho(r)."""
        return r * r

    def grad(self, r: float) -> float:
        """rho'(r)."""
        return r + r

    def scaled_grad(self, r: float, scale: float) -> float:
        """Give ``scale * grad(r)``, also where twice the residual overflows but a mean does not."""
        return (scale + scale) * r

    def hess(self, r: float) -> float:
        """rho''(r)."""
        T = type(r)
        return T(2) if r == r else r


FORMULAS: tuple[type[Formula], ...] = (SmoothL1, Huber, L1, SquaredError)


def number(name: str, value: object) -> None:
    """Raise TypeError unless ``value`` is a real number."""
    # NumPy counts spans of time among the integers, and its bool among nothing.
    if not isinstance(value, Real | np.bool_) or isinstance(value, np.timedelta64):
        raise TypeError(f"{name} must be a real number, got {value!r}")
