import numpy as np
import pytest

import fastloss as fl


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
