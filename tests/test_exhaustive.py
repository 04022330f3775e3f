"""All float16, and of float32 every exponent with many mantissas, against float64.

``test_accuracy.py`` shows that float64 is as good as exact there.
"""

import numpy as np
import pytest

import fastloss as fl
from tests.ulp import KINDS, errors, formulas, many_residuals, nearly_exact, residuals

pytestmark = pytest.mark.slow

# float16 is computed in float32 and rounded: two of its units are 2**-12 of float16's.
BOUND = {"float16": 0.5 + 2**-12, "float32": 2}
RESIDUALS = {"float16": residuals, "float32": many_residuals}
CASES = [(dtype, formula) for dtype in BOUND for formula in formulas(dtype)]


def results(formula, input, target):
    loss = fl.Loss(formula, "none")
    gradient, curvature = loss.grad_and_hess(input, target)
    return {"value": loss(input, target), "grad": gradient, "hess": curvature}


@pytest.mark.parametrize(("dtype", "formula"), CASES, ids=str)
def test_every_element_is_the_rounding_of_the_exact_one(dtype, formula):
    r = RESIDUALS[dtype](dtype)
    found, true = results(formula, r, np.zeros_like(r)), nearly_exact(formula, r)
    for kind in KINDS:
        error = errors(found[kind], true[kind], dtype)
        assert error.max() <= BOUND[dtype], (kind, r[error.argmax()])


@pytest.mark.parametrize(("dtype", "formula"), CASES, ids=str)
def test_the_target_is_the_input_with_the_other_sign(dtype, formula):
    r = RESIDUALS[dtype](dtype)
    zero = np.zeros_like(r)
    as_input, as_target = results(formula, r, zero), results(formula, zero, -r)
    for kind in KINDS:
        np.testing.assert_array_equal(as_input[kind], as_target[kind], kind)


@pytest.mark.parametrize(("dtype", "formula"), CASES, ids=str)
def test_all_ways_to_an_element_give_the_same_bits(dtype, formula):
    r = RESIDUALS[dtype](dtype)
    zero, loss = np.zeros_like(r), fl.Loss(formula, "none")
    alone = results(formula, r, zero)
    value, gradient = loss.value_and_grad(r, zero)
    np.testing.assert_array_equal(value, alone["value"])
    np.testing.assert_array_equal(gradient, alone["grad"])
    np.testing.assert_array_equal(loss.grad(r, zero), alone["grad"])
    every_other = results(formula, r[::2], zero[::2])
    for kind in KINDS:
        np.testing.assert_array_equal(every_other[kind], alone[kind][::2], kind)
    weighted = loss(r, zero, np.ones_like(r)), loss.grad(r, zero, np.ones_like(r))
    np.testing.assert_array_equal(weighted, (alone["value"], alone["grad"]))
