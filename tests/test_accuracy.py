"""Every element within two units in the last place, whatever the residual and the threshold.

Here against numbers of 60 digits, at every exponent; ``test_exhaustive.py`` takes more residuals.
"""

import numpy as np
import pytest

import fastloss as fl
from tests.ulp import KINDS, exact, formulas, nearly_exact, residuals, worst

# mpmath is too slow for all 65,536 residuals of float16, and for all exponents of float64.
EVERY = {"float16": 61, "float32": 1, "float64": 5}
CASES = [(dtype, formula) for dtype in EVERY for formula in formulas(dtype)]


@pytest.mark.parametrize(("dtype", "formula"), CASES, ids=str)
def test_two_units_in_the_last_place(dtype, formula):
    r = residuals(dtype)[:: EVERY[dtype]]
    true = exact(formula, r)
    loss, zero = fl.Loss(formula, "none"), np.zeros_like(r)
    gradient, curvature = loss.grad_and_hess(r, zero)
    found = {"value": loss(r, zero), "grad": gradient, "hess": curvature}
    for kind in KINDS:
        assert found[kind].dtype == dtype
        assert worst(found[kind], true[kind], dtype) <= 2, kind
    np.testing.assert_array_equal(loss.grad(r, zero), gradient)
    if dtype != "float64":  # what stands for exact arithmetic elsewhere
        for kind, quick in nearly_exact(formula, r).items():
            nearest = np.array([float(x) for x in true[kind]])
            np.testing.assert_allclose(quick, nearest, rtol=4e-16, err_msg=kind)


def test_an_error_of_three_units_is_seen():
    one = np.array([1.0], np.float32)
    wrong = one + 3 * np.finfo(np.float32).eps
    for true in (
        exact(fl.formulas.L1(), one)["value"],
        nearly_exact(fl.formulas.L1(), one)["value"],
    ):
        assert worst(one, true, "float32") == 0
        assert worst(wrong, true, "float32") == 3
        assert worst(np.array([np.inf], np.float32), true, "float32") == np.inf


@pytest.mark.parametrize(
    ("got", "true", "error"),
    [
        (np.nan, np.nan, 0),
        (1.0, np.nan, np.inf),
        (np.nan, 1.0, np.inf),
        (np.inf, np.inf, 0),
        (-np.inf, np.inf, np.inf),
        (np.inf, 70000.0, 0),
        (-np.inf, 70000.0, np.inf),
        (65504.0, 65504.0 + 48, 1.5),
        (65504.0, np.inf, np.inf),
        (2.0**-24, 0.0, 1),
        (0.0, 2.0**-25, 0.5),
    ],
)
def test_errors_where_float16_ends(got, true, error):
    assert worst(np.array([got], np.float16), np.array([true]), "float16") == error
