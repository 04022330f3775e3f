import numpy as np
import pytest

import fastloss as fl
from fastloss.cpu import model as cpu_model


@pytest.mark.parametrize("method", ["L-BFGS-B", "trust-exact", "Newton-CG", "SLSQP", "TNC"])
def test_methods_of_scipy_agree_with_newton(outliers, method):
    X, y, _ = outliers
    expected = fl.fit(X, y)
    result = fl.fit(X, y, method=method, tol=1e-10)
    assert result.fun == pytest.approx(expected.fun, rel=1e-7)
    np.testing.assert_allclose(result.x, expected.x, atol=1e-3)


@pytest.mark.parametrize("method", ["Newton-CG", "trust-exact", "dogleg"])
def test_second_order_methods_refuse_a_loss_without_curvature(outliers, method):
    X, y, _ = outliers
    with pytest.raises(ValueError, match="no curvature"):
        fl.fit(X, y, fl.L1Loss(), method=method)


@pytest.mark.parametrize("intercept", [False, True])
def test_columns_of_any_units_beyond_those_that_newtons_method_takes(monkeypatch, intercept):
    monkeypatch.setattr(cpu_model.HostModel, "newton_coefficients", 10)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 30))
    y = X @ rng.standard_normal(30) + rng.standard_normal(2000)
    y[::10] += 100
    units = 10.0 ** rng.integers(-6, 6, 30)
    X[:1024, 3] = 0.0  # the first rows do not say its units
    result = fl.fit(X * units, y, fit_intercept=intercept)
    expected = fl.fit(X, y, fit_intercept=intercept)
    assert result.success
    assert result.message != "converged"  # but SciPy's
    assert result.fun == pytest.approx(expected.fun, rel=1e-7)
    np.testing.assert_allclose(result.coef * units, expected.coef, atol=2e-3)
    assert result.jac.shape == result.x.shape
