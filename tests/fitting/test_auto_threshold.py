import numpy as np
import pytest

import fastloss as fl


@pytest.mark.parametrize("loss", [fl.SmoothL1Loss(beta="auto"), fl.HuberLoss(delta="auto")])
def test_auto_threshold_gives_what_rlm_of_mass_publishes(stackloss, loss):
    result = fl.fit(*stackloss, loss)
    assert result.success
    np.testing.assert_allclose(result.coef, [0.8294, 0.9261, -0.1278], atol=6e-4)
    assert result.intercept == pytest.approx(-41.0265, abs=6e-4)
    assert result.scale == pytest.approx(2.441, abs=1e-3)
    assert result.loss.formula[0] == pytest.approx(1.345 * result.scale, rel=1e-6)
    assert type(result.loss) is type(loss)


def test_auto_threshold_is_a_fixed_point(outliers):
    X, y, coef = outliers
    result = fl.fit(X, y, fl.SmoothL1Loss(beta="auto"))
    again = fl.fit(X, y, fl.SmoothL1Loss(beta=1.345 * result.scale))
    np.testing.assert_allclose(again.x, result.x, rtol=1e-6)
    np.testing.assert_allclose(result.coef, coef, atol=0.1)
    assert result.intercept == pytest.approx(3.0, abs=0.1)


def test_a_perfect_fit_of_most_rows_ends():
    X = np.arange(20.0)[:, None]
    y = 1 + 2 * X[:, 0]
    y[3] = 1000
    result = fl.fit(X, y, fl.SmoothL1Loss(beta="auto"))
    assert result.success
    np.testing.assert_allclose(result.x, [2, 1], atol=1e-6)
    exact = fl.fit(X, 1 + 2 * X[:, 0], fl.HuberLoss(delta="auto"))
    assert exact.success
    np.testing.assert_allclose(exact.x, [2, 1], atol=1e-9)
