"""Smooth L1 without a division for each element, for thresholds that have an ordinary reciprocal.

Divisions take a core as long as all else in a sum of losses. The threshold is the same for all
elements, so two multiplications by its reciprocal do, which is kept with its rounding error.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from fastloss.formulas import SmoothL1

# Thresholds within these have a reciprocal whose rounding error is a normal number too.
EXPONENTS = {"float32": 100, "float64": 900}


class QuickSmoothL1(SmoothL1):
    """Smooth L1, its threshold within ``EXPONENTS``; the same numbers, but for rounding."""

    __slots__ = ()

    def value(self, r: float) -> float:
        """rho(r)."""
        T = type(r)
        a = abs(r)
        within = a if a < self.beta else self.beta
        # Beyond the threshold the ratio is 1 exactly. NaN is in the second factor.
        return ratio(within, self.beta) * (a - T(0.5) * within)

    def grad(self, r: float) -> float:
        """rho'(r)."""
        # Both comparisons are false for NaN.
        within = self.beta if r > self.beta else r
        within = -self.beta if within < -self.beta else within
        return ratio(within, self.beta)

    def hess(self, r: float) -> float:
        """rho''(r)."""
        T = type(r)
        inside = T(1) / self.beta
        outside = T(0) if r == r else r
        return inside if abs(r) < self.beta else outside


def ratio(a: float, b: float) -> float:
    """Give ``a / b`` for ``|a| <= b`` and ``b`` within ``EXPONENTS``."""
    return a / b


def quick(formula: Any, dtype: np.dtype[Any]) -> Any:
    """Give what computes the same and sooner, where there is such a formula."""
    return _quick(formula, dtype) if type(formula) is SmoothL1 else formula


@lru_cache(maxsize=256)
def _quick(formula: SmoothL1, dtype: np.dtype[Any]) -> SmoothL1:
    exponent = EXPONENTS[dtype.name]
    ordinary = 2.0**-exponent <= formula.beta <= 2.0**exponent
    return QuickSmoothL1(*formula) if ordinary else formula
