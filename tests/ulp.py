"""Errors in units in the last place, on residuals and thresholds of every size."""

import math
from functools import cache

import mpmath
import numpy as np

from fastloss.formulas import L1, Huber, SmoothL1, SquaredError
from tests import reference

KINDS = "value", "grad", "hess"
THRESHOLDS = {
    "float16": (0.0, 6e-8, 0.01, 0.37, 1.0, 1.5, 1000.0),
    "float32": (0.0, 1e-44, 1e-37, 1e-3, 0.37, 1.0, 1e4, 1e19, 1e37),
    "float64": (0.0, 5e-324, 1e-307, 1e-3, 0.37, 1.0, 1e4, 1e153, 1e307),
}


def formulas(dtype):
    for threshold in THRESHOLDS[dtype]:
        yield SmoothL1(threshold)
        if threshold:
            yield Huber(threshold)
    yield L1()
    yield SquaredError()


@cache
def residuals(dtype: str) -> np.ndarray:
    """Give all float16; of the others each exponent, with six mantissas and both signs."""
    if dtype == "float16":
        return np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    info = np.finfo(dtype)
    exponents = np.arange(int(info.minexp) - int(info.nmant), int(info.maxexp))
    mantissas = np.array([1, 1 + float(info.eps), 1.2345678, 1.5, 1.87654321, 2 - float(info.eps)])
    with np.errstate(under="ignore"):
        found = np.ldexp(mantissas[:, None], exponents).astype(dtype).ravel()
    special = np.array([0, np.inf, np.nan], dtype)
    found = np.unique(np.concatenate([found, special, *_at_thresholds(dtype)]))
    return np.concatenate([found, -found])


def _at_thresholds(dtype):
    for threshold in np.array(THRESHOLDS[dtype], dtype):
        yield np.array([threshold, np.nextafter(threshold, np.array(np.inf, dtype))])


def exact(formula, r):
    """Value, grad and hess as lists of exact numbers; float16 is computed in float32."""
    arithmetic = np.float32 if r.dtype == np.float16 else r.dtype.type
    columns = zip(*(reference.element(formula, x, arithmetic) for x in r), strict=True)
    return dict(zip(KINDS, columns, strict=True))


def worst(computed, exact, dtype) -> float:
    """Give the largest error in ulp of the exact value; infinite where a number is lost."""
    info = np.finfo(dtype)
    largest, smallest = mpmath.mpf(float(info.max)), float(info.smallest_subnormal)
    found = 0.0
    for got, true in zip(computed.tolist(), exact, strict=True):
        if mpmath.isnan(true):
            found = max(found, 0.0 if math.isnan(got) else math.inf)
        elif abs(true) > largest:
            # What rounds to infinity may be it; what is infinite must be.
            right = math.isinf(got) or (not mpmath.isinf(true) and abs(got) == float(info.max))
            found = max(found, 0.0 if right else math.inf)
        elif not math.isfinite(got):
            found = math.inf
        else:
            exponent = math.frexp(float(true))[1] if true else 0
            ulp = max(math.ldexp(1.0, exponent - int(info.nmant) - 1), smallest)
            found = max(found, float(abs(mpmath.mpf(got) - true) / mpmath.mpf(ulp)))
    return found
