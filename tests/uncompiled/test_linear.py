"""The loops of the linear model, line by line as they stand."""

import numpy as np
import pytest
from scipy import sparse

import fastloss as fl
from fastloss.cpu.design import Design
from fastloss.curvature import majorising
from fastloss.formulas import SmoothL1
from tests.cpu.test_apart import apart, evaluations
from tests.cpu.test_linear import by_numpy, problem
from tests.registry import DTYPES

FORMULA = SmoothL1(0.7)


def check(X, dense, y, weight=None, intercept=False):
    """Compare all that an objective gives with NumPy in two passes."""
    w, v = np.random.default_rng(1).standard_normal((2, dense.shape[1] + intercept))
    value, grad, hess = by_numpy(FORMULA, dense, y, w, weight, intercept, 0.3)
    objective = fl.LinearObjective(
        X, y, fl.Loss(FORMULA), weight=weight, l2=0.3, fit_intercept=intercept
    )
    assert objective(w)[0] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(objective(w)[1], grad, atol=1e-12)
    np.testing.assert_allclose(objective.hessp(w, v), hess @ v, atol=1e-11)
    np.testing.assert_allclose(objective.hessp(w, w), hess @ w, atol=1e-11)
    np.testing.assert_allclose(objective.hess(w), hess, atol=1e-11)
    np.testing.assert_allclose(objective.value_grad_hess(w)[2], hess, atol=1e-11)
    majorised = objective.quadratic(w, majorising)[2]
    assert np.linalg.eigvalsh(majorised - hess).min(initial=0) > -1e-9
    whole = np.column_stack((dense, np.ones(len(y)))) if intercept else dense
    np.testing.assert_allclose(objective.residuals(w), whole @ w - y, atol=1e-12)


# Around the width of a vector, of a panel of columns, and of what stays in registers.
@pytest.mark.parametrize("p", [0, 1, 7, 8, 9, 15, 16, 17, 25, 31, 32, 33, 45, 129, 260])
@pytest.mark.parametrize("order", ["C", "F"])
def test_dense_columns_of_any_number(p, order):
    for n in (1, 5, 60):
        X, y, _ = problem(n, p, order=order)
        check(X, X, y)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_and_an_intercept(order, dtype):
    X, y, weight = problem(60, 11, dtype, order)
    check(X, X, y.astype(float), weight, intercept=True)


@pytest.mark.parametrize("p", [2, 5, 8, 11])
@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_that_lie_apart(p, dtype):
    X, y, weight = problem(60, p, dtype, "F")
    w, v = np.random.default_rng(1).standard_normal((2, p + 1))
    together = Design.of(X)
    designs = Design.of(apart(X), together), together
    for found, expected in zip(
        *(evaluations(design, y, weight, w, v) for design in designs), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array, sparse.coo_array])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_sparse_matrices(kind, weighted):
    dense, y, weight = problem(61, 12)
    dense[np.random.default_rng(3).random(dense.shape) < 0.7] = 0
    check(kind(dense), dense, y, weight if weighted else None, intercept=weighted)


def test_columns_that_are_not_in_order():
    X = sparse.csc_array(np.arange(6.0).reshape(3, 2) + 1)
    X.indices[:2], X.data[:2] = X.indices[1::-1].copy(), X.data[1::-1].copy()
    dense = np.arange(6.0).reshape(3, 2) + 1
    check(X, dense, np.array([1.0, -2.0, 0.5]))
