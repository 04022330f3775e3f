import numpy as np
import pytest
from scipy.optimize import OptimizeResult, linprog

import fastloss as fl


def test_absolute_error_reaches_the_exact_minimum(stackloss):
    """Against linear programming, which solves the problem exactly."""
    X, y = stackloss
    n, p = X.shape
    A = np.column_stack((X, np.ones(n), np.eye(n), -np.eye(n)))
    cost = np.r_[np.zeros(p + 1), np.ones(2 * n)]
    bounds = [(None, None)] * (p + 1) + [(0, None)] * (2 * n)
    exact = linprog(cost, A_eq=A, b_eq=y, bounds=bounds)
    for loss in (fl.L1Loss(reduction="sum"), fl.SmoothL1Loss(beta=0, reduction="sum")):
        result = fl.fit(X, y, loss)
        assert result.success
        assert result.fun == pytest.approx(exact.fun, rel=1e-12)


@pytest.mark.parametrize("size", [1e9, 1e15, 1e20, 1e36])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_does_not_depend_on_how_far_outliers_are(size, weighted):
    """The minimum is where it is as long as each row stays on its side."""
    rng = np.random.default_rng(11)
    X = rng.standard_normal((60, 2))
    y = X @ [1.0, 2.0] + 0.5 + rng.standard_t(3, size=60)
    weight = rng.random(60) + 0.5 if weighted else None
    y[:6] = 1e3
    expected = fl.fit(X, y, fl.L1Loss(), weight=weight)
    y[:6] = size * np.linspace(1, 2, 6)
    result = fl.fit(X, y, fl.L1Loss(), weight=weight)
    assert result.success
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-9)


def test_a_column_whose_coefficient_would_overflow_is_left_out():
    rng = np.random.default_rng(11)
    X = rng.standard_normal((60, 2)) * [1e-200, 1.0]
    result = fl.fit(X, 1e130 * rng.standard_normal(60), fl.L1Loss())
    assert result.success
    assert result.coef[0] == 0


@pytest.mark.parametrize("unit", [1e-15, 1e-9, 1e9, 1e15])
@pytest.mark.parametrize("weight", [1e-12, 1.0, 1e25])
def test_absolute_error_does_not_depend_on_units(unit, weight):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((300, 3))
    y = X @ [1.0, 2, 3] + rng.standard_cauchy(300)
    expected = fl.fit(X, y, fl.L1Loss())
    result = fl.fit(X, y * unit, fl.L1Loss(), weight=np.full(300, weight))
    assert result.success
    assert result.fun / unit == pytest.approx(expected.fun, rel=1e-9)


@pytest.mark.parametrize("far", [1e6, 1e9, 1e11])
def test_absolute_error_does_not_care_how_far_an_outlier_is(far):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 3))
    y = X.sum(axis=1) + rng.standard_normal(600)
    outliers = np.zeros(600)
    outliers[::10] = 1
    near = fl.fit(X, y + 1e3 * outliers, fl.L1Loss())
    result = fl.fit(X, y + far * outliers, fl.L1Loss())
    np.testing.assert_allclose(result.x, near.x, atol=1e-5)


def test_rows_without_weight_do_not_count_for_absolute_error():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3))
    y = X.sum(axis=1) + rng.standard_normal(300)
    weight = np.repeat([1.0, 0.0], 300)
    result = fl.fit(np.r_[X, X * 1e12], np.r_[y, y * 1e13], fl.L1Loss(), weight=weight)
    np.testing.assert_allclose(result.x, fl.fit(X, y, fl.L1Loss()).x, atol=1e-9)


def test_absolute_error_without_linear_programming_is_as_good(outliers, monkeypatch):
    X, y, _ = outliers
    exact = fl.fit(X, y, fl.L1Loss())
    monkeypatch.setattr("scipy.optimize.linprog", lambda *_, **__: OptimizeResult(status=4))
    result = fl.fit(X, y, fl.L1Loss())
    assert exact.fun <= result.fun <= 1.01 * exact.fun
    assert "as smooth L1 with beta" in result.message
