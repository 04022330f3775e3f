import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastloss.formulas import FORMULAS, L1, Huber, SmoothL1, SquaredError
from tests import reference
from tests.registry import LOSSES

inf, nan = math.inf, math.nan
METHODS = ["value", "grad", "hess"]
residuals = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)


@pytest.mark.parametrize("formula", LOSSES, ids=str)
@given(r=residuals)
def test_agrees_with_exact_arithmetic(formula, r):
    for name, exact in zip(METHODS, reference.element(formula, r, np.float64), strict=True):
        expected = float(exact)
        assert getattr(formula, name)(r) == pytest.approx(expected, rel=4.5e-16, abs=5e-324), name


@pytest.mark.parametrize("formula", LOSSES, ids=str)
@pytest.mark.parametrize("r", [0.0, 0.15, 0.31, 0.69, 0.71, 0.85, 0.99, 1.01, 1.5])
def test_agrees_with_exact_arithmetic_around_the_thresholds(formula, r):
    for sign in (1, -1):
        found = [getattr(formula, name)(sign * r) for name in METHODS]
        exact = reference.element(formula, sign * r, np.float64)
        assert found == pytest.approx([float(number) for number in exact], rel=4.5e-16)


@pytest.mark.parametrize("formula", LOSSES, ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_nan_stays_nan(formula, name):
    assert math.isnan(getattr(formula, name)(nan))


@pytest.mark.parametrize("formula", LOSSES, ids=str)
@given(r=residuals)
def test_is_even_and_its_gradient_odd(formula, r):
    assert formula.value(-r) == formula.value(r)
    assert formula.grad(-r) == -formula.grad(r)
    assert formula.hess(-r) == formula.hess(r)


@given(r=residuals, scale=st.floats(1e-9, 1))
def test_a_scaled_gradient_is_the_gradient_times_the_scale(r, scale):
    exact = scale * reference.element(SquaredError(), r, np.float64)[1]
    assert SquaredError().scaled_grad(r, scale) == pytest.approx(float(exact), rel=4.5e-16)


@pytest.mark.parametrize("formula", LOSSES, ids=str)
@given(a=residuals, b=residuals)
def test_is_convex(formula, a, b):
    assert (formula.grad(a) - formula.grad(b)) * (1 if a > b else -1) >= 0 or a == b


@pytest.mark.parametrize("formula", LOSSES, ids=str)
@pytest.mark.parametrize("r", [-3.1, -0.9, -0.2, 0.11, 0.25, 0.5, 2.7])
def test_derivatives_are_those_of_the_value_away_from_kinks(formula, r):
    h = 1e-5
    slope = (formula.value(r + h) - formula.value(r - h)) / (2 * h)
    curvature = (formula.grad(r + h) - formula.grad(r - h)) / (2 * h)
    assert formula.grad(r) == pytest.approx(slope, rel=1e-8, abs=1e-9)
    assert formula.hess(r) == pytest.approx(curvature, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize(
    ("formula", "r", "value", "grad", "hess"),
    [
        (SmoothL1(1.0), 1.0, 0.5, 1.0, 0.0),
        (SmoothL1(1.0), -1.0, 0.5, -1.0, 0.0),
        (SmoothL1(2.0), 0.0, 0.0, 0.0, 0.5),
        (SmoothL1(0.0), 0.0, 0.0, 0.0, 0.0),
        (SmoothL1(0.0), -2.0, 2.0, -1.0, 0.0),
        (SmoothL1(1.0), inf, inf, 1.0, 0.0),
        (SmoothL1(1.0), -inf, inf, -1.0, 0.0),
        (SmoothL1(inf), 5.0, 0.0, 0.0, 0.0),
        (SmoothL1(inf), inf, inf, 1.0, 0.0),
        (Huber(2.0), 2.0, 2.0, 2.0, 0.0),
        (Huber(2.0), 0.0, 0.0, 0.0, 1.0),
        (Huber(2.0), -inf, inf, -2.0, 0.0),
        (Huber(inf), 3.0, 4.5, 3.0, 1.0),
        (Huber(inf), inf, inf, inf, 0.0),
        (Huber(0.0), inf, inf, 0.0, 0.0),  # what a small threshold is in float32
        (L1(), 0.0, 0.0, 0.0, 0.0),
        (L1(), -inf, inf, -1.0, 0.0),
        (SquaredError(), -inf, inf, -inf, 2.0),
        (SquaredError(), 0.0, 0.0, 0.0, 2.0),
    ],
    ids=str,
)
def test_ties_zeros_and_infinities(formula, r, value, grad, hess):
    assert (formula.value(r), formula.grad(r), formula.hess(r)) == (value, grad, hess)


@pytest.mark.parametrize(
    ("formula", "r", "value"),
    [
        (SmoothL1(np.float32(1e30)), np.float32(1e20), 5e9),
        (SmoothL1(np.float32(1e-24)), np.float32(1e-25), 5e-27),
        (SmoothL1(1e300), 1e200, 5e99),
        (Huber(np.float32(1e20)), np.float32(2.5e19), 3.125e38),
        (Huber(np.float32(1e-30)), np.float32(1e-20), 1e-50),
        (Huber(1e200), 1.8e154, 1.62e308),
    ],
    ids=str,
)
def test_nothing_overflows_or_underflows_on_the_way(formula, r, value):
    with np.errstate(under="ignore", over="ignore"):  # on the side that is not chosen
        result = formula.value(r)
        assert type(result) is type(r)
        assert result == pytest.approx(type(r)(value), rel=1e-6)


@pytest.mark.parametrize("formula", LOSSES, ids=str)
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("r", [0.0, 0.2, -5.0, nan, inf])
def test_float32_stays_float32(formula, name, r):
    formula = formula._make(np.float32(p) for p in formula)
    with np.errstate(all="ignore"):
        assert type(getattr(formula, name)(np.float32(r))) is np.float32


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        (SmoothL1(-1.0), "beta must be >= 0, got -1.0"),
        (SmoothL1(nan), "beta must be >= 0, got nan"),
        (Huber(0.0), "delta must be > 0, got 0.0"),
        (Huber(-inf), "delta must be > 0, got -inf"),
        (Huber(nan), "delta must be > 0, got nan"),
    ],
    ids=str,
)
def test_parameters_out_of_range_are_named_with_their_bound(formula, words):
    with pytest.raises(ValueError, match=words):
        formula.check()


@pytest.mark.parametrize("formula", [SmoothL1("1"), Huber(None), SmoothL1(1j)], ids=str)
def test_parameters_that_are_no_numbers_are_a_type_error(formula):
    with pytest.raises(TypeError, match="must be a real number, got"):
        formula.check()


@pytest.mark.parametrize("formula", [f for f in LOSSES if hasattr(f, "check")], ids=str)
def test_parameters_within_their_range_are_taken(formula):
    formula.check()


def test_thresholds_are_one_where_none_is_given_as_in_torch():
    assert SmoothL1() == (1.0,)
    assert Huber() == (1.0,)


def test_the_registry_of_the_tests_covers_every_formula():
    assert {type(formula) for formula in LOSSES} == set(FORMULAS)
