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


@pytest.mark.parametrize("size", [1e3, 1e6, 1e9, 1e12, 1e20, 9.96921e36])
@pytest.mark.parametrize("count", [1, 6])
def test_however_far_outliers_are_it_is_a_fixed_point(size, count):
    rng = np.random.default_rng(11)
    X = np.column_stack((rng.standard_normal((60, 2)), np.ones(60)))
    y = X @ [1.0, 2.0, 0.5] + rng.standard_t(3, size=60)
    y[:count] = size
    result = fl.fit(X[:, :2], y, fl.SmoothL1Loss(beta="auto"))
    assert result.success
    residuals = X @ result.x - y
    scale = np.median(np.abs(residuals)) / 0.6744897501960817
    assert result.loss.formula[0] == pytest.approx(1.345 * scale, rel=1e-6)
    slopes = np.clip(residuals / (1.345 * scale), -1, 1)
    np.testing.assert_allclose(X.T @ slopes / 60, 0, atol=1e-7)


@pytest.mark.parametrize("unit", [1e-30, 1e-16, 1e-8, 1e8, 1e30])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_it_does_not_depend_on_the_units_of_columns(outliers, unit, fit_intercept):
    X, y, _ = outliers
    for column in (0, -1):
        units = np.ones(X.shape[1])
        units[column] = unit
        expected = fl.fit(X, y, fl.SmoothL1Loss(beta="auto"), fit_intercept=fit_intercept)
        result = fl.fit(X * units, y, fl.SmoothL1Loss(beta="auto"), fit_intercept=fit_intercept)
        assert result.success
        np.testing.assert_allclose(result.coef * units, expected.coef, rtol=1e-6)


def test_a_threshold_far_from_the_squares_of_x_is_refused(outliers):
    X, y, _ = outliers
    auto = fl.SmoothL1Loss(beta="auto")
    tiny, huge = X.copy(), X.copy()
    tiny[:, 1] *= 1e-140
    huge[:, 1] *= 1e140
    with pytest.raises(ValueError, match="X is too small for the loss: .* underflows; rescale it"):
        fl.fit(tiny, 1e50 * y, auto)
    for fit_intercept in (False, True):
        with pytest.raises(ValueError, match="X is too large for the loss: .* overflows; rescale"):
            fl.fit(huge, 1e-80 * y, auto, fit_intercept=fit_intercept)


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
