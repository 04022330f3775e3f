"""The division that replaces IEEE's on a GPU, with the GPU's operations done exactly."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastloss.cuda.division import FLOAT32, FLOAT64, division

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

inf, nan = math.inf, math.nan


def rounded(T, exact):
    """The number of the precision that is nearest to a fraction, which float64 may not hold."""
    if T is np.float64:
        try:
            return T(exact.numerator / exact.denominator)
        except OverflowError:
            return T(inf if exact > 0 else -inf)
    near = T(float(exact)) if abs(exact) < 2**200 else T(math.copysign(inf, exact))
    if not np.isfinite(near):
        return near
    neighbours = (near, np.nextafter(near, T(inf)), np.nextafter(near, T(-inf)))
    return min(
        (x for x in neighbours if np.isfinite(x)), key=lambda x: abs(Fraction(float(x)) - exact)
    )


def multiply_add(a, b, c):
    T = type(a)
    if not all(map(np.isfinite, (a, b, c))):
        return a * b + c
    return rounded(T, Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))


def reciprocal_off_by(error):
    """The GPU's reciprocal, at the edge of what it promises."""

    def reciprocal(b):
        T = type(b)
        exact = T(1) / b
        if not np.isfinite(exact) or exact == 0 or not error:
            return exact
        return (
            np.nextafter(exact, T(error * inf))
            if T is np.float32
            else exact * T(1 + error * 2**-20)
        )

    return reciprocal


PRECISIONS = {np.float32: FLOAT32, np.float64: FLOAT64}


def divide(T, error, a, b):
    result = division(PRECISIONS[T], reciprocal_off_by(error), multiply_add)(T(a), T(b))
    assert type(result) is T
    return result


@pytest.mark.parametrize("T", PRECISIONS)
@pytest.mark.parametrize("error", [-1, 1])
@settings(max_examples=300)
@given(data=st.data())
def test_is_right_to_an_ulp_over_the_whole_range(T, error, data):
    width = 32 if T is np.float32 else 64
    b = data.draw(st.floats(min_value=0, exclude_min=True, allow_infinity=False, width=width))
    a = data.draw(st.floats(min_value=-b, max_value=b, width=width) | st.just(1.0))
    exact = Fraction(a) / Fraction(b)
    nearest = rounded(T, exact)
    result = divide(T, error, a, b)
    if np.isinf(nearest):
        assert result == nearest or abs(result) == np.finfo(T).max
    else:
        assert abs(Fraction(float(result)) - exact) <= Fraction(float(np.spacing(abs(nearest))))


@pytest.mark.parametrize("T", PRECISIONS)
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(5.0, inf, 0.0), (0.0, inf, 0.0), (inf, 1.0, inf), (-inf, 2.0, -inf), (0.0, 1.0, 0.0)],
)
def test_infinities_have_their_limits(T, a, b, expected):
    assert divide(T, 1, a, b) == expected


@pytest.mark.parametrize("T", PRECISIONS)
def test_nan_stays_nan(T):
    assert np.isnan(divide(T, 1, nan, 1.0))
    assert np.isnan(divide(T, 1, 1.0, nan))


@pytest.mark.parametrize("T", PRECISIONS)
def test_one_divides_exactly(T):
    for a in (3.7, -1e30, 1e-40):
        assert divide(T, 0, a, 1.0) == T(a)
