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
    """Value, grad and hess in float64 by NumPy, for sizes that mpmath is too slow for.

    Of residuals and thresholds that float16 or float32 hold, three roundings of 2**-53 are all that
    is wrong: their squares are exact in float64, and nothing leaves its range.
    """
    r = np.asarray(residuals, np.float64)
    a, sign = np.abs(r), np.sign(r)
    nowhere = np.where(np.isnan(r), np.nan, 0.0)
    name = type(formula).__name__
    if name == "L1":
        return a, sign, nowhere
    # Of signalling NaN, and on the side that is not chosen.
    with np.errstate(all="ignore"):
        if name == "SquaredError":
            return r * r, 2 * r, np.where(np.isnan(r), np.nan, 2.0)
        t = np.float64(formula[0])
        if name == "SmoothL1":
            inside = a < t
            value = np.where(inside, 0.5 * r * (r / t), a - 0.5 * t)
            grad, hess = np.where(inside, r / t, sign), np.where(inside, 1 / t, nowhere)
        else:
            assert name == "Huber"
            inside = a <= t
            value = np.where(inside, 0.5 * r * r, t * (a - 0.5 * t))
            grad, hess = np.where(inside, r, t * sign), np.where(a < t, 1.0, nowhere)
    return np.where(np.isinf(r), np.inf, value), grad, hess


def exact_sum(values):
    return math.fsum(np.asarray(values, np.float64).reshape(-1).tolist())
