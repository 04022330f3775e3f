"""Errors in units in the last place, on residuals and thresholds of every size."""

from functools import cache

import mpmath
import numpy as np

from fastloss.formulas import L1, Huber, SmoothL1, SquaredError
from tests import reference

KINDS = "value", "grad", "hess"
# The smallest and the largest number of each dtype are among them, and infinity.
THRESHOLDS = {
    "float16": (0.0, 6e-8, 1e-3, 0.01, 0.37, 0.5, 1.0, 1.5, 2.0, 100.0, 65504.0, np.inf),
    "float32": (0.0, 1e-45, 1e-37, 1e-3, 0.37, 1.0, 1e4, 1e19, 1e37, 3.4028235e38, np.inf),
    "float64": (
        *(0.0, 5e-324, 1e-307, 1e-3, 0.37, 1.0, 1e4, 1e153, 1e307),
        *(1.7976931348623157e308, np.inf),
    ),
}
# Both sides of a threshold, so many numbers far.
NEAR = 8


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
    eps = float(np.finfo(dtype).eps)
    return _of_every_exponent(dtype, [1, 1 + eps, 1.2345678, 1.5, 1.87654321, 2 - eps])


@cache
def many_residuals(dtype: str) -> np.ndarray:
    """Give each exponent with 512 mantissas, evenly spread and their neighbours, and both signs."""
    even = 1 + np.arange(256) / 256
    return _of_every_exponent(dtype, [*even, *(even + float(np.finfo(dtype).eps))])


def _of_every_exponent(dtype, mantissas):
    info = np.finfo(dtype)
    exponents = np.arange(int(info.minexp) - int(info.nmant), int(info.maxexp))
    with np.errstate(under="ignore"):
        found = np.ldexp(np.asarray(mantissas)[:, None], exponents).astype(dtype).ravel()
    special = np.array([0, np.inf, np.nan], dtype)
    found = np.unique(np.concatenate([found, special, *_at_thresholds(dtype)]))
    return np.concatenate([found, -found])


def _at_thresholds(dtype):
    bits = np.array(THRESHOLDS[dtype], dtype).view(f"i{np.dtype(dtype).itemsize}")
    last = np.array(np.inf, dtype).view(bits.dtype)
    for threshold in bits:
        yield (
            np.clip(threshold + np.arange(-NEAR, NEAR + 1), 0, last).astype(bits.dtype).view(dtype)
        )


def exact(formula, r):
    """Give value, grad and hess as lists of numbers of 60 digits."""
    arithmetic = _arithmetic(r.dtype)
    columns = zip(*(reference.element(formula, x, arithmetic) for x in r), strict=True)
    return dict(zip(KINDS, columns, strict=True))


def nearly_exact(formula, r):
    """Give the same of float16 and float32 in float64, which has 29 bits more, at once."""
    assert r.dtype.itemsize < 8
    with np.errstate(under="ignore", over="ignore"):
        held = formula._make(_arithmetic(r.dtype)(p) for p in formula)
    return dict(zip(KINDS, reference.quick(held, r), strict=True))


def _arithmetic(dtype):
    return np.float32 if dtype == np.float16 else dtype.type


def errors(computed, true, dtype) -> np.ndarray:
    """Give errors in ulp of the true value; infinite where a number, a NaN or a sign is lost.

    ``true`` is an array of float64, or a list of mpmath's numbers.
    """
    info = np.finfo(dtype)
    largest, smallest = float(info.max), float(info.smallest_subnormal)
    got = computed.astype(np.float64)
    with np.errstate(all="ignore"):
        if isinstance(true, np.ndarray):
            near, away = true, np.abs(got - true)
        else:
            near = np.array([float(x) for x in true])
            pairs = zip(computed.tolist(), true, strict=True)
            away = np.array([float(abs(mpmath.mpf(x) - y)) for x, y in pairs])
        exponent = np.frexp(np.minimum(np.abs(near), largest))[1]
        unit = np.maximum(np.ldexp(1.0, exponent - int(info.nmant) - 1), smallest)
        found = away / np.where(near == 0, smallest, unit)
        # What rounds to infinity may be it, and what is infinite is no difference of two numbers.
        beyond = (np.abs(near) > largest) & np.isinf(got) & (np.sign(near) == np.sign(got))
    found[beyond | (np.isnan(near) & np.isnan(got))] = 0
    found[np.isnan(found)] = np.inf
    return found


def worst(computed, true, dtype) -> float:
    """Give the largest error."""
    return float(errors(computed, true, dtype).max())
