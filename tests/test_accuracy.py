"""Every element within two units in the last place, whatever the residual and the threshold."""

import numpy as np
import pytest

import fastloss as fl
from tests.ulp import KINDS, exact, formulas, residuals, worst

# All residuals are too many for each threshold in float16, and mpmath too slow for more in float64.
EVERY = {"float16": 9, "float32": 1, "float64": 5}
CASES = [(dtype, formula) for dtype in EVERY for formula in formulas(dtype)]


@pytest.mark.parametrize(("dtype", "formula"), CASES, ids=str)
def test_two_units_in_the_last_place(dtype, formula):
    every = 1 if dtype == "float16" and formula in ((0.37,), ()) else EVERY[dtype]
    r = residuals(dtype)[::every]
    true = exact(formula, r)
    loss, zero = fl.Loss(formula, "none"), np.zeros_like(r)
    gradient, curvature = loss.grad_and_hess(r, zero)
    found = {"value": loss(r, zero), "grad": gradient, "hess": curvature}
    for kind in KINDS:
        assert found[kind].dtype == dtype
        assert worst(found[kind], true[kind], dtype) <= 2, kind
    np.testing.assert_array_equal(loss.grad(r, zero), gradient)


def test_an_error_of_three_units_is_seen():
    one = np.array([1.0], np.float32)
    wrong = one + 3 * np.finfo(np.float32).eps
    true = exact(fl.formulas.L1(), one)["value"]
    assert worst(one, true, "float32") == 0
    assert worst(wrong, true, "float32") == 3
    assert worst(np.array([np.inf], np.float32), true, "float32") == np.inf
