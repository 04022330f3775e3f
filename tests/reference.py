"""The losses once more, from their definitions and in exact arithmetic: the oracle of the tests.

Nothing here calls fastloss. Elements are mpmath numbers of 60 digits; sums are ``math.fsum``.
"""

import math

import mpmath
import numpy as np

mpmath.mp.dps = 60


def element(formula, r, dtype):
    """Value, grad and hess at one residual, exact, for parameters rounded to the dtype."""
    name = type(formula).__name__
    threshold = mpmath.mpf(float(dtype(formula[0]))) if len(formula) else None
    r = float(r)
    if math.isnan(r):
        return (mpmath.nan,) * 3
    sign = mpmath.mpf((r > 0) - (r < 0))
    infinite = math.isinf(r)
    r = mpmath.mpf(r)
    a = abs(r)
    if name == "SmoothL1":
        if infinite:
            return mpmath.inf, sign, mpmath.mpf(0)
        if a < threshold:
            if mpmath.isinf(threshold):
                return (mpmath.mpf(0),) * 3
            return r * r / 2 / threshold, r / threshold, 1 / threshold
        return a - threshold / 2, sign, mpmath.mpf(0)
    if name == "Huber":
        if infinite:
            return mpmath.inf, sign * threshold, mpmath.mpf(0)
        if a <= threshold:
            return r * r / 2, r, mpmath.mpf(1 if a < threshold else 0)
        return threshold * (a - threshold / 2), sign * threshold, mpmath.mpf(0)
    if name == "L1":
        return a, sign, mpmath.mpf(0)
    assert name == "SquaredError"
    return r * r, 2 * r, mpmath.mpf(2)


def elements(formula, residuals, dtype):
    """Three arrays of the dtype nearest to the exact value, grad and hess."""
    flat = np.asarray(residuals).reshape(-1)
    exact = [element(formula, r, dtype) for r in flat]
    columns = zip(*exact, strict=True) if exact else ((), (), ())
    return tuple(
        np.array([_round(v, dtype) for v in column], dtype).reshape(np.shape(residuals))
        for column in columns
    )


def _round(number, dtype):
    """The nearest number of the dtype: through float64, whose 29 more bits suffice for float32."""
    with np.errstate(over="ignore", under="ignore"):
        return dtype(float(number))


def quick(formula, residuals):
    """Value, grad and hess in float64 by NumPy, for sizes that mpmath is too slow for."""
    r = np.asarray(residuals, np.float64)
    a, sign = np.abs(r), np.sign(r)
    name = type(formula).__name__
    if name == "SmoothL1" and 0 < formula[0] < math.inf:
        inside = a < formula[0]
        return (
            np.where(inside, 0.5 * r * r / formula[0], a - 0.5 * formula[0]),
            np.where(inside, r / formula[0], sign),
            np.where(inside, 1 / formula[0], 0.0),
        )
    if name == "Huber" and formula[0] < math.inf:
        inside = a <= formula[0]
        return (
            np.where(inside, 0.5 * r * r, formula[0] * (a - 0.5 * formula[0])),
            np.where(inside, r, formula[0] * sign),
            np.where(a < formula[0], 1.0, 0.0),
        )
    if name == "SmoothL1" and formula[0] == math.inf:
        return np.zeros_like(r), np.zeros_like(r), np.zeros_like(r)
    if name == "Huber":
        return 0.5 * r * r, r, np.ones_like(r)
    if name in ("SmoothL1", "L1"):
        return a, sign, np.zeros_like(r)
    return r * r, 2 * r, np.full_like(r, 2.0)


def exact_sum(values):
    return math.fsum(np.asarray(values, np.float64).reshape(-1).tolist())
